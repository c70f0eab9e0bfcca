"""The documents keep their word: no gap left open, no link into nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.config import parse
from core.files import read_yaml
from search.config import CampaignConfig

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/cluster.md", "docs/experiments.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_placeholder_is_left_and_every_link_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"@[A-Z]+@", text) == []
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_the_readmes_settings_are_ones_that_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    file = tmp_path / "readme.yaml"
    for block in blocks:
        file.write_text(block if "name:" in block.split("data:")[0] else f"name: x\n{block}", encoding="utf-8")
        parse(CampaignConfig, read_yaml(file), "README.md")
