"""What a campaign begins with has perhaps seen its test span: the ledger tells, and the verdict says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import presets
from core.config import DataConfig
from core.presets import Preset, preset_yaml
from search.campaign.plan import plan_campaign
from search.campaign.run import run_campaign
from search.config import ConfirmConfig
from search.confirmation.plan import plan_confirmation
from search.confirmation.run import run_confirmation
from search.engine.in_process import InProcessEngine
from search.results import ledger
from search.results.folder import LEDGER_FILE
from search.results.judged import EARLIER_READINGS_GATE
from search.results.verdict import Verdict
from tests.helpers.campaigns import NAME, config
from tests.helpers.market import random_bars

pytestmark = pytest.mark.costly


def _confirmed(root: Path, ask: tuple[str, ...]) -> Verdict:
    """Search on recorded bars, beginning with presets, and confirm."""
    root.mkdir(exist_ok=True)
    path = root / "binance_BTCUSDT_5m.parquet"
    random_bars(5000).frame.to_parquet(path)
    settings = {"ask": ask, "trials": 4, "confirm": ConfirmConfig(top=1, seeds=1, folds=2)}
    planned = plan_campaign(config(DataConfig(files=(path,))).model_copy(update=settings), root / "results")
    run_campaign(planned, InProcessEngine())
    return run_confirmation(plan_confirmation(NAME, root / "results"), InProcessEngine())


def _preset_of(root: Path, span: tuple[str, str]) -> str:
    """Write a preset that was found on a span of BTC in dollars, all of which its search has read."""
    preset = presets.load_preset("btc_eth_15m_8m")
    assert preset.provenance is not None
    data = preset.provenance.data.model_copy(update={"span": span, "bar": None, "symbols": ("BTCUSD",)})
    provenance = preset.provenance.model_copy(update={"data": data, "confirmation": None, "status": "not confirmed"})
    path = root / "found.yaml"
    path.write_text(preset_yaml(Preset(**{**dict(preset), "name": "found", "provenance": provenance})))
    return str(path)


def test_a_preset_whose_search_has_seen_the_test_span_prevents_certification(tmp_path: Path) -> None:
    clean = _confirmed(tmp_path / "clean", ())
    assert clean.earlier_entries == ()
    assert EARLIER_READINGS_GATE not in clean.failed_gates
    lines = ledger.read_entries(tmp_path / "clean" / "results" / LEDGER_FILE)
    assert [entry.kind for entry in lines] == ["search", "folds", "confirmation"]
    assert all(entry.read_at for entry in lines)
    assert clean.ledger_entry == lines[-1]
    assert clean.test is not None
    verdict = _confirmed(tmp_path / "seen", (_preset_of(tmp_path, clean.test.span),))
    assert [(entry.kind, entry.saw) for entry in verdict.earlier_entries] == [("search", ["val"])]
    assert EARLIER_READINGS_GATE in verdict.failed_gates
    assert verdict.status == "not certified"


def test_a_preset_that_was_found_before_the_test_span_does_no_harm(tmp_path: Path) -> None:
    verdict = _confirmed(
        tmp_path / "c", (_preset_of(tmp_path, ("2020-01-01T00:00:00+00:00", "2020-02-01T00:00:00+00:00")),)
    )
    assert verdict.earlier_entries == ()
    lines = ledger.read_entries(tmp_path / "c" / "results" / LEDGER_FILE)
    assert [(entry.kind, entry.campaign == NAME) for entry in lines][:2] == [("search", True), ("search", False)]
