from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import yaml

from search.results import judged, ledger
from search.results.folder import CampaignFolder
from search.results.ledger_entry import LedgerEntry
from tests.search.results.test_ledger import ENTRY

RESULTS = Path(__file__).parents[3] / "results"


def _certified(root: Path, entry: LedgerEntry) -> CampaignFolder:
    """Write a certified verdict, which passes all its gates, into a folder of its own."""
    content = json.loads((RESULTS / "btc-eth-15m-8m" / "verdict.json").read_text())
    content |= {"status": "certified", "campaign": entry.campaign, "look": asdict(entry), "earlier_looks": []}
    for gate in content["gates"]:
        gate["verdict"] = "pass"
    folder = CampaignFolder(root / entry.campaign)
    folder.path.mkdir(parents=True)
    folder.config_file.write_text(yaml.safe_dump({"config": {}, "resolved": {}}))
    ledger.append_entry(folder.ledger, entry)
    folder.verdict.write_text(json.dumps(content))
    return folder


def test_a_certified_verdict_falls_when_an_earlier_reading_becomes_known(tmp_path: Path) -> None:
    mine = replace(ENTRY, campaign="mine", read_at="2024-09-01T12:00:00+00:00")
    folder = _certified(tmp_path, mine)
    verdict = judged.read_judged_verdict(folder)
    assert verdict is not None
    assert verdict.status == "certified"
    assert judged.find_contested(tmp_path) == []
    later = replace(ENTRY, campaign="later", read_at="2024-09-01T13:00:00+00:00")
    ledger.append_entry(folder.ledger, later)
    assert judged.find_contested(tmp_path) == []
    theirs = replace(ENTRY, campaign="theirs", read_at="2024-09-01T11:00:00+00:00")
    ledger.append_entry(folder.ledger, theirs)
    verdict = judged.read_judged_verdict(folder)
    assert verdict is not None
    assert verdict.status == "not certified"
    assert [entry.campaign for entry in verdict.earlier_entries] == ["theirs"]
    assert verdict.failed_gates == (judged.EARLIER_READINGS_GATE,)
    assert judged.find_contested(tmp_path) == [("mine", "theirs")]
    assert judged.judge_again(verdict, ledger.read_entries(folder.ledger)) == verdict
