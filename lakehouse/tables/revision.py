"""Which code runs: a digest of it, and the git commit that holds it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("lakehouse", "jobs", "feature_repo", "notebooks")
_ENDINGS = frozenset({".py", ".yml", ".ipynb"})
_SHOWN = 12  # digits of a digest


@cache
def code_digest() -> str:
    """SHA-256 over the code that runs, by path and content; of notebooks over their code cells, since looking at one in Jupyter saves it."""
    found = (path for folder in _FOLDERS for path in (_ROOT / folder).rglob("*") if path.suffix in _ENDINGS)
    return _digest({path.relative_to(_ROOT).as_posix(): path.read_bytes() for path in found})


def commit() -> str:
    """The git commit of this code. Where what runs is not what it holds, the first digits of the code's digest stand behind it, after a plus.
    "unknown" in the place of a commit where this is no checkout, or lies in somebody else's."""
    head, packed = _git("rev-parse", "HEAD"), _git("archive", "--format=tar", "HEAD")
    if head is None or packed is None:
        return f"unknown+{code_digest()[:_SHOWN]}"
    name = head.decode().strip()
    return name if _digest(dict(_held(packed))) == code_digest() else f"{name}+{code_digest()[:_SHOWN]}"


def short(name: str) -> str:
    """A commit as people read it, still marked where it does not hold the code."""
    held, mark, rest = name.partition("+")
    return f"{held[:_SHOWN]}{mark}{rest}"


def _digest(files: Mapping[str, bytes]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
        if ".ipynb_checkpoints" not in PurePosixPath(path).parts:
            found.update(path.encode() + b"\0" + _code(path, files[path]) + b"\0")
    return found.hexdigest()


def _code(path: str, content: bytes) -> bytes:
    if not path.endswith(".ipynb"):
        return content
    cells = json.loads(content)["cells"]
    return json.dumps(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]).encode()


def _held(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of code in an archive of a commit: path and content."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        for one in files:
            path, content = PurePosixPath(one.name), files.extractfile(one)
            if content is not None and path.parts[0] in _FOLDERS and path.suffix in _ENDINGS:
                yield one.name, content.read()


def _git(*words: str) -> bytes | None:
    """What git answers; None where there is no git, or nothing here that it knows."""
    try:
        done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
