"""`python -m serving`: the service on the home and profile of the environment."""

from __future__ import annotations

import argparse

from lakehouse import settings
from serving.main import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--port", type=int, help="left out, serving.port of the settings")
    run(settings.load(), parser.parse_args().port)


if __name__ == "__main__":
    main()
