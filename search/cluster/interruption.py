"""Ends a block when its process is asked to end, so that finished work is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPEAT_SECONDS = 0.1
"""After this time, an interruption that was ignored is repeated: what ignored it has returned by then."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on SIGTERM as on Ctrl-C, wherever the block is when the signal comes.

    Python only prints an exception that is raised inside a destructor or a callback of a C extension: an interruption
    that comes just then would be lost, and the program go on. It is raised again shortly afterwards.
    """
    previous_handler = signal.signal(signal.SIGTERM, _interrupt)
    previous_hook = sys.unraisablehook

    def repeat_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(_REPEAT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            previous_hook(unraisable)

    sys.unraisablehook = repeat_interrupt
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
        signal.signal(signal.SIGTERM, previous_handler)


def _interrupt(*_: Any) -> None:
    """Handle a signal as Ctrl-C is handled, even in a background job, for which shells ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
