from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core import presets
from core.files import to_yaml
from search.cli.app import app
from tests.helpers.campaigns import NAME
from tests.helpers.commands import invoke

pytestmark = [pytest.mark.costly, pytest.mark.usefixtures("in_copy_of_searched_root")]

RUN = CliRunner()


def test_an_uncertified_export_is_written_and_exits_with_1_if_it_must_be_certified() -> None:
    assert "(not confirmed)" in invoke("export", NAME, "--as", "mine")
    output = invoke("export", NAME, "--as", "mine", "--require-certified", code=1)
    assert "mine is not confirmed" in output
    assert presets.load_preset("mine").provenance is not None


def test_without_a_file_the_preset_gets_the_campaigns_name() -> None:
    assert f"presets/{NAME}.yaml: written" in invoke("regenerate", "--all")
    assert presets.load_preset(NAME).name == NAME


def test_an_export_replaces_an_earlier_one_of_its_campaign() -> None:
    invoke("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    whole = path.read_text()
    path.write_text(whole.replace("status: not confirmed", "status: not certified"))
    invoke("export", NAME, "--as", "mine")
    assert path.read_text() == whole


def test_presets_are_listed_shown_compared_and_checked() -> None:
    invoke("export", NAME, "--as", "mine")
    output = invoke("presets", "list")
    assert "mine" in output
    assert "not confirmed" in output
    assert "production_small" in output
    assert "# Peak learning rate of AdamW. [above 0, at most 1]" in invoke("presets", "show", "production_small")
    output = invoke("presets", "diff", "production_small", "quick_experiment")
    assert "training.epochs" in output
    assert "training.schedule" not in output
    assert "mine: valid" in invoke("presets", "check")
    Path("presets/mine.yaml").write_text("name: other")
    done = RUN.invoke(app, ["presets", "check", "presets/mine.yaml", "production_small"])
    assert "hyperparameters" in done.output
    assert "production_small: valid" in done.output
    assert "1 of the presets cannot be loaded" in str(done.exception)


HOSTILE = "[/bold] [red]x[/red] [link=file:///x]y[/link] :smile: \x1b[31mred\x1b]0;title\x07 \x9b1m \u202eback \\"


def test_what_a_preset_says_is_shown_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    invoke("export", NAME, "--as", "mine")
    content = presets.load_preset("mine").model_dump(mode="json")
    content["description"] = content["provenance"]["campaign"] = HOSTILE
    content["provenance"]["versions"] = {HOSTILE: HOSTILE}
    path = Path("presets/mine.yaml")
    path.write_text(to_yaml(content))
    shown = "[/bold] [red]x[/red] [link=file:///x]y[/link] :smile: [31mred]0;title 1m back \\"
    for args in (["list"], ["diff", "mine", "production_small"]):
        output = invoke("presets", *args)
        assert shown in output
        assert all(character.isprintable() for character in output.replace("\n", ""))
    output = invoke("presets", "show", "mine")
    assert ":smile:" in output
    assert all(character.isprintable() for character in output.replace("\n", ""))
    assert shown in invoke("regenerate", "--all", code=1)
    path.write_text(to_yaml({HOSTILE: 1, **content}))
    for command in ("list", "check"):
        output = RUN.invoke(app, ["presets", command]).output
        assert "[/bold] [red]x[/red]" in output
        assert ":smile:" in output
        assert all(character.isprintable() for character in output.replace("\n", ""))


@pytest.mark.parametrize("name", ["../mine", "/etc/passwd", "a/b", ".", ""])
def test_a_path_cannot_be_a_presets_name(name: str) -> None:
    done = RUN.invoke(app, ["export", NAME, "--as", name])
    assert "cannot be the name of a preset" in str(done.exception)
    done = RUN.invoke(app, ["regenerate", name])
    assert "cannot be the name of a campaign" in str(done.exception)
    assert not Path("presets").exists()


def test_the_proposed_command_can_be_pasted_whatever_the_names_of_the_folders() -> None:
    Path("results").rename("my results")
    output = invoke("export", NAME, "--as", "mine", "--results", "my results", "--presets", "my presets")
    (line,) = [line for line in output.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[words.index("--preset") + 1] == "my presets/mine.yaml"
    assert words[words.index("--config") + 1] == f"my results/{NAME}/campaign.yaml"
