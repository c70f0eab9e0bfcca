"""Chooses the device of a training, what lies on it, its precision there, and how exactly it repeats."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from core.config import Device
from core.errors import ConfigError


def resolve_device(device: Device) -> torch.device:
    """Return the torch device that a setting means; `auto` takes the GPU if there is one.

    Raises:
        ConfigError: the setting is cuda, and this machine has no CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("This machine has no CUDA device", "Use --device cpu")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return torch.device(name)


def shared_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """Return a tensor over the array's own memory where the device allows; it must only be read."""
    with warnings.catch_warnings():
        # Arrays from shared memory are read-only: torch warns of that, and no tensor here is ever written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return a context in which torch computes in bfloat16 where it pays: on a GPU, for a model in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" and dtype == torch.float32)


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Restrict torch, inside the block, to algorithms that repeat to the last bit; an operation without one raises.

    A CPU repeats anyway with the same number of threads; a GPU does not, and this makes it slower.

    Args:
        enabled: whether to restrict torch; nothing changes if not.
    """
    if not enabled:
        yield
        return
    # cuBLAS sums in a fixed order only with a workspace of fixed size, which it learns from here.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was_enabled = torch.are_deterministic_algorithms_enabled()
    was_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_enabled, warn_only=was_warn_only)
