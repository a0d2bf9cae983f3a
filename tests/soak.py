"""How often what claims "always" is tried: a few times with all other tests, `SOAK` times in `make soak`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("SOAK", "0"))


def times(few: int) -> int:
    return max(few, TIMES)
