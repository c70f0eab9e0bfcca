"""The way in, which works without Ray and Optuna as far as to say that they are missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `preset-search`."""
    try:
        from search.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "optuna"):
            raise
        sys.exit(_missing(error.name))
    run()


def _missing(name: str) -> int:
    print(f"error: {name} is not installed. Install it: pip install 'preset-search[search]'.", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
