from __future__ import annotations

from pathlib import Path

from search.report.campaign_data import CampaignData
from search.report.elements import Section, Table
from search.report.sections import provenance
from search.results.folder import CampaignFolder
from tests.helpers.reports import campaign_data
from tests.helpers.trial_records import trial_record


def test_the_diff_has_the_searched_values_and_all_other_settings(committed: CampaignData) -> None:
    rows = {name: (winner, incumbent) for name, winner, incumbent in provenance.recipe_differences(committed)}
    assert rows["trainer.learning_rate"] == ("0.00173546", "5e-05")
    assert rows["trainer.schedule"] == ("cosine", "warm_restarts")
    assert rows["trainer.epochs"] == ("12", "150")
    assert rows["trainer.patience"] == ("none", "20")
    assert "trainer.clip_norm" not in rows


def test_facts_and_commands_are_there(sections: dict[str, Section]) -> None:
    facts = sections["provenance"].parts[0]
    assert isinstance(facts, Table)
    assert ("version of optuna", "5.0.0") in facts.rows
    assert ("campaign", "btc-eth-15m-8m") in facts.rows
    commands = sections["provenance"].commands
    assert commands[0] == "preset-search replay btc-eth-15m-8m"
    assert any(command.startswith("preset-search export btc-eth-15m-8m --as my_btc_eth_15m_8m") for command in commands)


def test_without_a_winner_nothing_is_compared() -> None:
    folder = CampaignFolder(Path("results/made"))
    section = provenance.make_section(campaign_data([]), folder)
    assert len(section.parts) == 1
    assert section.commands == ("preset-search replay made", "preset-search report made")
    with_winner = provenance.make_section(campaign_data([trial_record(0, [0.5, 0.6])]), folder)
    assert "preset-search trials show made 0" in with_winner.commands
    assert not any("export" in command for command in with_winner.commands)
