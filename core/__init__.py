"""Everything that trains one model: data, features, losses, the network and its trainer.

The two functions of the training guide can be imported from here. They are loaded when they are first used, because
`core` itself is imported by every command, and torch takes seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.quickstart import quick_start_training, setup_optimized_training

__all__ = ["__version__", "quick_start_training", "setup_optimized_training"]
__version__ = "0.1.0"

# Whoever wants the log adds a handler (see `core.logs`); without one, Python would print warnings to the terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in ("quick_start_training", "setup_optimized_training"):
        from core import quickstart

        return getattr(quickstart, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
