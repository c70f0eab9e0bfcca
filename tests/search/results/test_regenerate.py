"""Presets are made again from the recorded campaigns, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core import presets
from core.presets import SCHEMA_VERSION, SHIPPED, library
from search.cli import presets as presets_command
from search.cli.app import app
from tests.helpers.campaigns import NAME
from tests.helpers.commands import invoke

pytestmark = [pytest.mark.costly, pytest.mark.usefixtures("in_copy_of_searched_root")]


RUN = CliRunner()


def test_regenerating_gives_the_same_bytes_and_reports_a_difference() -> None:
    invoke("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    content = path.read_bytes()
    assert "presets/mine.yaml: unchanged" in invoke("regenerate", "--all", "--check")
    path.write_bytes(content.replace(b"batch_size: ", b"batch_size: 1"))
    assert "presets/mine.yaml: differs" in invoke("regenerate", NAME, "--check", code=1)
    assert "presets/mine.yaml: written" in invoke("regenerate", NAME)
    assert path.read_bytes() == content


@pytest.mark.parametrize("which", ["--all", NAME])
def test_a_check_fails_if_it_finds_no_file_of_a_campaign(which: str) -> None:
    output = invoke("regenerate", which, "--check", code=1)
    assert f"{NAME}: no preset file in presets or {SHIPPED}" in output
    assert not Path("presets").exists()
    Path("mine").mkdir()
    assert f"{NAME}: no preset file in mine" in invoke("regenerate", which, "--check", "--presets", "mine", code=1)


def test_a_check_fails_if_it_compared_nothing() -> None:
    shutil.rmtree(f"results/{NAME}")
    assert "nothing was compared" in invoke("regenerate", "--all", "--check", code=1)


@pytest.mark.parametrize("option", ["--results", "--presets"])
def test_a_check_of_a_folder_that_is_not_there_is_refused(option: str) -> None:
    invoke("export", NAME, "--as", "mine")
    done = RUN.invoke(app, ["regenerate", "--all", "--check", option, "nowhere"])
    assert "There is no folder nowhere" in str(done.exception)


def test_a_check_looks_at_the_shipped_presets_of_the_campaigns_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    invoke("export", NAME, "--as", "mine", "--presets", str(shipped))
    shutil.copy(Path(SHIPPED) / "btc_eth_5m_30d.yaml", shipped)  # its campaign is not here
    for module in (library, presets_command):
        monkeypatch.setattr(module, "SHIPPED", shipped)
    output = invoke("regenerate", "--all", "--check")
    assert f"{shipped}/mine.yaml: unchanged" in output
    assert "btc_eth_5m_30d" not in output
    assert "there is no campaign btc-eth-5m-30d" in invoke(
        "regenerate", "--all", "--check", "--presets", str(shipped), code=1
    )
    path = shipped / "mine.yaml"
    path.write_text(path.read_text().replace("batch_size: ", "batch_size: 1"))
    assert f"{shipped}/mine.yaml: differs" in invoke("regenerate", "--all", "--check", code=1)


def test_folders_without_a_concluded_campaign_are_skipped_and_the_others_are_written() -> None:
    shutil.copytree(f"results/{NAME}", "results/backup")
    shutil.copytree(f"results/{NAME}", f"results/{NAME}.bak")
    shutil.copytree(f"results/{NAME}", "results/going-on")
    Path("results/going-on/manifest.json").unlink()
    Path("results/notes").mkdir()
    for code, flags in ((0, []), (0, ["--check"])):
        output = invoke("regenerate", "--all", *flags, code=code)
        assert f"results/backup: skipped: results/backup holds campaign '{NAME}'" in output
        assert f"results/{NAME}.bak: skipped: it is not a campaign" in output
        assert "results/going-on: skipped: it has no manifest" in output
        assert "results/notes: skipped: it is not a campaign" in output
    assert [path.name for path in Path("presets").iterdir()] == [f"{NAME}.yaml"]


def test_a_damaged_campaign_is_reported_and_the_others_are_written() -> None:
    shutil.copytree(f"results/{NAME}", "results/another")
    Path("results/another/trials.parquet").write_bytes(b"")
    output = invoke("regenerate", "--all", code=1)
    assert "trials.parquet was changed after" in output
    assert f"presets/{NAME}.yaml: written" in output


def test_a_preset_without_its_campaign_is_reported() -> None:
    invoke("export", NAME, "--as", "mine")
    shutil.rmtree(f"results/{NAME}")
    assert f"presets/mine.yaml: there is no campaign {NAME}" in invoke("regenerate", "--all", "--check", code=1)


def test_a_campaign_without_its_manifest_is_refused() -> None:
    invoke("export", NAME, "--as", "mine")
    Path(f"results/{NAME}/manifest.json").unlink()
    assert "has no manifest" in invoke("regenerate", "--all")
    output = invoke("regenerate", "--all", "--check", code=1)
    assert f"presets/mine.yaml: there is no campaign {NAME} that was concluded" in output
    assert "has no manifest" in str(RUN.invoke(app, ["regenerate", NAME, "--check"]).exception)


def test_what_is_not_of_the_same_campaign_and_data_is_not_overwritten() -> None:
    path = Path(f"presets/{NAME}.yaml")
    path.parent.mkdir()
    six = "{learning_rate: 0.1, batch_size: 64, weight_decay: 0.0, dropout: 0.0, focal_gamma: 0.0, mixup_alpha: 0.0}"
    original = f"name: small\nhyperparameters: {six}\n"
    path.write_text(original)
    assert "holds another preset" in invoke("regenerate", NAME, code=1)
    assert path.read_text() == original
    path.unlink()
    invoke("export", NAME, "--as", NAME)
    other = path.read_text().replace("fingerprint: ", "fingerprint: 00")
    path.write_text(other)
    assert "holds another preset" in invoke("regenerate", NAME, code=1)
    assert path.read_text() == other


def test_a_later_campaign_of_the_same_name_and_bars_does_not_replace_the_preset_of_the_first() -> None:
    invoke("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    first = path.read_text()
    assert "  started: '2024-05-01T00:00:00+00:00'\n" in first
    other = first.replace("started: '2024-05-01", "started: '2024-04-01")
    path.write_text(other)
    assert "of another campaign of this name" in str(RUN.invoke(app, ["export", NAME, "--as", "mine"]).exception)
    assert "holds another preset" in invoke("regenerate", NAME, code=1)
    assert path.read_text() == other
    path.write_text("".join(line for line in first.splitlines(keepends=True) if "started:" not in line))
    invoke("export", NAME, "--as", "mine")  # an older program did not write down when it was
    assert path.read_text() == first


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_a_damaged_preset_is_reported_kept_and_made_again(name: str) -> None:
    invoke("export", NAME, "--as", name)
    path = Path(f"presets/{name}.yaml")
    whole = path.read_text()
    damaged = whole.replace("batch_size:", "batch_sice:")
    path.write_text(damaged)
    assert "batch_sice" in invoke("regenerate", "--all", "--check", code=1)
    assert "damaged" in invoke("presets", "list")
    output = invoke("regenerate", NAME)
    assert f"{path}: damaged; kept as {name}.yaml.bak" in output
    assert f"{path}: written" in output
    assert path.read_text() == whole
    assert Path(f"{path}.bak").read_text() == damaged
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.bak"]


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_a_preset_of_a_newer_schema_is_never_replaced(name: str) -> None:
    invoke("export", NAME, "--as", name)
    path = Path(f"presets/{name}.yaml")
    newer = path.read_text().replace(f"schema_version: {SCHEMA_VERSION}", "schema_version: 99")
    path.write_text(newer)
    for args in (["--all"], [NAME], ["--all", "--check"]):
        assert "Upgrade preset-search" in invoke("regenerate", *args, code=1)
    assert "Upgrade preset-search" in str(RUN.invoke(app, ["export", NAME, "--as", name]).exception)
    assert path.read_text() == newer
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("args", [[], [NAME, "--all"]])
def test_campaigns_or_all_must_be_given(args: list[str]) -> None:
    done = RUN.invoke(app, ["regenerate", *args])
    assert "Either campaigns or --all must be given" in str(done.exception)


def test_the_bytes_are_the_same_in_another_process_with_another_hash_seed_and_without_ray() -> None:
    invoke("export", NAME, "--as", "mine")
    code = (
        "import sys; sys.modules['ray'] = None\n"  # importing it fails
        "from search.cli.app import main; sys.argv = ['preset-search', 'regenerate', '--all', '--check']; main()"
    )
    for seed in ("0", "1", "12345"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": _source()},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def _source() -> str:
    return str(Path(presets.__file__).parents[2])
