"""The entry point of `preset-search`, which works without the extra `search` as far as to say what is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `preset-search`; say what to install where a command needs a package that is missing."""
    try:
        from search.cli.app import main as run

        run()
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "optuna", "plotly", "jinja2"):
            raise
        message = f"error: {error.name} is not installed. Install it: pip install 'preset-search[search]'."
        print(message, file=sys.stderr)  # noqa: T201 - where a package is missing, the less is imported the better
        sys.exit(2)


if __name__ == "__main__":
    main()
