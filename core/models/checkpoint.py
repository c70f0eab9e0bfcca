"""Checkpoint files: tensors and plain values, loaded without unpickling code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from core.errors import ConfigError
from core.files import write_bytes

FORMAT_VERSION = 2


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        path: the file.
        content: nested dicts and lists of tensors, numbers, strings.

    Raises:
        ConfigError: it cannot be written.
    """
    write_bytes(path, checkpoint_bytes(content))


def checkpoint_bytes(content: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **content}, buffer)
    return buffer.getvalue()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Code in it is never run.

    Raises:
        ConfigError: the file is missing, damaged, hostile or of a newer format.
    """
    try:
        read = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Check the path") from None
    return checkpoint_from_bytes(read, str(path))


def checkpoint_from_bytes(read: bytes, path: str) -> dict[str, Any]:
    """What the bytes of a checkpoint file hold; `path` is for the message.

    Raises:
        ConfigError: they are damaged, hostile or of a newer format.
    """
    try:
        content = torch.load(io.BytesIO(read), map_location="cpu", weights_only=True)
    except Exception:  # torch lets out whatever damaged bytes lead its reader to
        raise ConfigError(f"{path} is not a checkpoint of this program", "Train again") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        raise ConfigError(
            f"{path} has checkpoint format {version}, this program reads {FORMAT_VERSION}", "Train again, or upgrade"
        )
    return dict(content)
