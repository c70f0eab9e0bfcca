"""Makes the ledger entries of searches and of presets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import DataConfig
from core.data.file_format import iso
from core.data.splits import Span, fold_span, main_borders
from core.errors import ConfigError
from core.presets import Preset
from core.presets.provenance import PresetData
from search.results import ledger
from search.results.folder import CONFIG_FILE, LEDGER_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.records import DataRecord


def preset_entry(preset: Preset, read_at: str) -> LedgerEntry | None:
    """Make the entry of the campaign that found a preset, for a search that begins with the preset.

    Args:
        preset: the preset.
        read_at: when the search begins.

    Returns:
        the entry; None for a preset without provenance, or one of the synthetic market.
    """
    origin = preset.provenance
    if origin is None or origin.data.synthetic:
        return None
    is_confirmed = origin.confirmation is not None and origin.confirmation.test is not None
    return LedgerEntry(
        campaign=origin.campaign,
        started=origin.started or "",
        exchange="",
        symbols=list(origin.data.symbols),
        interval="",
        **_spans(origin.data, origin.data.settings, with_folds=origin.confirmation is not None),
        trials=0,
        reads="",
        kind="preset" if is_confirmed else "search",
        read_at=read_at,
    )


def complete_ledger(root: Path) -> list[LedgerEntry]:
    """Add to the ledger the searches that early versions did not record, from the folders of their campaigns.

    A folder that cannot be read is left out.

    Args:
        root: folder of all campaigns.

    Returns:
        all entries of the ledger.

    Raises:
        ConfigError: the ledger is damaged or cannot be written.
    """
    path = root / LEDGER_FILE
    entries = ledger.read_entries(path)
    recorded = {entry.key[:2] for entry in entries if entry.kind == "search"}
    for file in sorted(root.glob(f"*/{CONFIG_FILE}")):
        entry = None
        with suppress(ConfigError):
            entry = _search_entry(CampaignFolder(file.parent))
        if entry is not None and entry.key[:2] not in recorded:
            entries = ledger.append_entry(path, entry)
    return entries


def _search_entry(folder: CampaignFolder) -> LedgerEntry | None:
    """Make the entry of a recorded search; None on the synthetic market, or if there was no search."""
    record, config = folder.read_record(), folder.read_config()
    if record.data.synthetic or not folder.journal.is_file():
        return None
    has_read_folds = config.cells is not None or folder.verdict.exists() or folder.cells.exists()
    return LedgerEntry(
        campaign=record.name,
        started=str(record.started),
        exchange=config.data.exchange or "",
        symbols=list(record.data.symbols),
        interval=config.data.interval,
        **_spans(record.data, config.data.model_dump(), with_folds=has_read_folds),
        trials=config.trials,
        reads="",
        kind="search",
        read_at=str(record.started),
    )


def _spans(data: DataRecord | PresetData, settings: Mapping[str, Any], *, with_folds: bool) -> dict[str, list[str]]:
    """Return the spans of an entry from a description of the data.

    Args:
        data: span, length of a bar, window and horizon.
        settings: the shares of val and test.
        with_folds: whether the folds before val were read: by a confirmation, or by a search that ranks by cells.
    """
    start, last = (pd.Timestamp(instant).value // 1000 for instant in data.span)
    if data.bar is None:  # an early version: the borders are not known, so all of it counts as read
        whole = list(data.span)
        return {"val": whole, "test": whole, "folds": whole if with_folds else []}
    span = Span(start, last + data.bar, data.bar)
    shares = {name: settings[name] for name in ("val_fraction", "test_fraction") if name in settings}
    config = DataConfig.model_construct(window=data.window, horizon=data.horizon, **shares)
    borders = main_borders(span, config)
    folds = [iso(edge) for edge in fold_span(span, config)] if with_folds else []
    return {"val": [iso(edge) for edge in borders.val], "test": [iso(edge) for edge in borders.test], "folds": folds}
