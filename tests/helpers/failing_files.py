"""Makes the changes to files below a folder fail, as on a full or broken disk."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class FailingFiles:
    """Counts the calls that change files below a folder, and lets some of them fail.

    Attributes:
        calls: name of each call, in their order.
    """

    def __init__(self, root: Path, failing: Callable[[int], bool] = lambda _: False, error: int = 0) -> None:
        """Prepare to count; `installed` begins.

        Args:
            root: the folder.
            failing: function that returns whether the call with a number, from 0, fails.
            error: the error number of the failures.
        """
        self._root, self._failing, self._error = str(root), failing, error
        self.calls: list[str] = []

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the functions of the standard library that change files while the block lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("mkdir", "replace", "rename"):
                patch.setattr(os, name, self._wrapped(getattr(os, name), name, _any))
            for name in ("write", "fsync", "ftruncate"):
                patch.setattr(os, name, self._wrapped(getattr(os, name), name, _any))
            patch.setattr(os, "open", self._wrapped(os.open, "os.open", _opens_for_writing))
            opened = self._wrapped(io.open, "open", _is_writing_mode)
            patch.setattr(io, "open", opened)
            patch.setattr(builtins, "open", opened)
            yield

    def _wrapped(self, function: Callable[..., Any], name: str, changes: Callable[..., bool]) -> Callable[..., Any]:
        def call(file: Any, *args: Any, **kwargs: Any) -> Any:
            if changes(*args, **kwargs) and self._path_of(file).startswith(self._root):
                self.calls.append(f"{name} {Path(self._path_of(file)).name}")
                if self._failing(len(self.calls) - 1):
                    raise OSError(self._error, os.strerror(self._error), self._path_of(file))
            return function(file, *args, **kwargs)

        return call

    @staticmethod
    def _path_of(file: Any) -> str:
        if isinstance(file, int):
            try:
                return str(Path(f"/proc/self/fd/{file}").readlink())
            except OSError:
                return ""
        return os.fspath(file) if isinstance(file, str | os.PathLike) else ""


def _any(*_: Any, **__: Any) -> bool:
    return True


def _opens_for_writing(flags: int, *_: Any, **__: Any) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _is_writing_mode(mode: str = "r", *_: Any, **__: Any) -> bool:
    return any(letter in mode for letter in "wax+")
