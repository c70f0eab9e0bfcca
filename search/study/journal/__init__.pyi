from .backend import Journal, JournalReader
from .file import committed_bytes, is_held, read_committed
from .records import read_records

__all__ = [
    "Journal",
    "JournalReader",
    "committed_bytes",
    "is_held",
    "read_committed",
    "read_records",
]
