"""How often what claims "always" is tried: a few times with all other tests, `SOAK` times in `make soak`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("SOAK", "0"))
FEWER_ON_SPARK = 10  # where an example takes a minute
ENGINES = ["sail", "spark"] if TIMES else ["sail"]  # of what is tried on Spark in the soak alone
# Nothing is shrunk: a failure shows what was drawn.
ALWAYS = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=not TIMES,
)


def times(few: int, engine: str = "sail") -> int:
    """On Spark a tenth as often."""
    return max(few, TIMES if engine == "sail" else TIMES // FEWER_ON_SPARK)
