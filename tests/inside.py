"""The command line, called in this process, under the environment's home."""

from __future__ import annotations

import json

import pytest

from jobs.cli import main

Output = pytest.CaptureFixture[str]


def told(capsys: Output, *words: str, code: int = 0) -> dict[str, object]:
    """What a command answers as JSON."""
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found
