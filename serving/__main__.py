"""`python -m serving`: the service on the home and profile of the environment. Exit codes: 0 ended when told to, 1 failed, 2 wrong use."""

from __future__ import annotations

import argparse
import sys

from lakehouse import settings
from lakehouse.errors import ZeromarginError
from serving.main import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--port", type=int, help="left out, serving.port of the settings")
    asked = parser.parse_args()
    try:
        run(settings.load(), asked.port)
    except ZeromarginError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
