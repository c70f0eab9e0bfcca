from __future__ import annotations

from tests.core.conftest import dataset

__all__ = ["dataset"]
