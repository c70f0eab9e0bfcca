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
        path: the file to write.
        content: nested dicts and lists of tensors, numbers and strings.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_bytes(path, checkpoint_bytes(content))


def checkpoint_bytes(content: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file with this content; see `save_checkpoint`."""
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **content}, buffer)
    return buffer.getvalue()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; code in it is never run.

    Args:
        path: the file to read.

    Returns:
        the content it was saved with, and its `format_version`.

    Raises:
        ConfigError: the file is missing, damaged, hostile or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Check the path") from None
    return checkpoint_from_bytes(content, str(path))


def checkpoint_from_bytes(content: bytes, path: str) -> dict[str, Any]:
    """Read a checkpoint from the bytes of its file; code in it is never run.

    Args:
        content: the bytes of the whole file.
        path: where they were read, for the error message.

    Returns:
        the content it was saved with, and its `format_version`.

    Raises:
        ConfigError: the bytes are damaged, hostile or of a newer format.
    """
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever damaged bytes lead its reader to
        raise ConfigError(f"{path} is not a checkpoint of this program", "Train again") from None
    version = checkpoint.get("format_version") if isinstance(checkpoint, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        raise ConfigError(
            f"{path} has checkpoint format {version}, this program reads {FORMAT_VERSION}", "Train again, or upgrade"
        )
    return dict(checkpoint)
