from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from search.cluster.interruption import interruptible


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt, whatever the program that runs the tests has made of it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


class _Interrupted:
    """Is sent SIGTERM while it is destroyed."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)


class _Broken:
    def __del__(self) -> None:
        raise ValueError("broken")


def _be_interrupted(by: Callable[[], object]) -> None:
    with interruptible():
        by()
        time.sleep(10)


def test_sigterm_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        _be_interrupted(lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_an_interruption_inside_a_destructor_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt):
        _be_interrupted(_Interrupted)


def test_a_background_job_that_ignores_ctrl_c_is_interrupted_too() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            _be_interrupted(_Interrupted)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_other_errors_of_destructors_are_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))
    with interruptible():
        _Broken()
    assert reported == [ValueError]


def test_afterwards_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with interruptible():
        pass
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before
