from .checkpoints import Checkpoints
from .filesystem import Storage, StorageError
from .location import resolve_location
from .monitor import StorageMonitor

__all__ = [
    "Checkpoints",
    "Storage",
    "StorageError",
    "StorageMonitor",
    "resolve_location",
]
