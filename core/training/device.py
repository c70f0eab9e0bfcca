"""Where a training runs, and how exactly it repeats there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.config import Device
from core.errors import ConfigError


def resolve_device(device: Device) -> torch.device:
    """The device to train on; `auto` takes the GPU if there is one.

    Raises:
        ConfigError: cuda is asked for and not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("There is no CUDA device here", "Use --device cpu")
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return torch.device(wanted)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """bfloat16 where it pays: on a GPU, for a model in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" and dtype == torch.float32)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch use, inside the block, only what repeats to the last bit; an operation that cannot raises.

    A CPU repeats anyway with the same number of threads; a GPU does not, and gets slower by this.
    """
    if not wanted:
        yield
        return
    # cuBLAS sums in a fixed order only with a workspace of fixed size, which it learns from here.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
