from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core import presets
from core.files import to_yaml
from core.presets import SCHEMA_VERSION, SHIPPED, library
from search.cli import presets as presets_command
from search.cli.app import app
from tests.helpers.campaigns import NAME, make_searched_campaign

pytestmark = pytest.mark.costly

RUN = CliRunner()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("presets") / "results").parent


@pytest.fixture(autouse=True)
def _folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished, tmp_path / "results")
    monkeypatch.chdir(tmp_path)


def _run(*args: str, code: int = 0) -> str:
    done = RUN.invoke(app, list(args))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def test_an_uncertified_export_is_written_and_exits_with_1_if_it_must_be_certified() -> None:
    assert "(not confirmed)" in _run("export", NAME, "--as", "mine")
    output = _run("export", NAME, "--as", "mine", "--require-certified", code=1)
    assert "mine is not confirmed" in output
    assert presets.load_preset("mine").provenance is not None


def test_regenerating_gives_the_same_bytes_and_reports_a_difference() -> None:
    _run("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    content = path.read_bytes()
    assert "presets/mine.yaml: unchanged" in _run("regenerate", "--all", "--check")
    path.write_bytes(content.replace(b"batch_size: ", b"batch_size: 1"))
    assert "presets/mine.yaml: differs" in _run("regenerate", NAME, "--check", code=1)
    assert "presets/mine.yaml: written" in _run("regenerate", NAME)
    assert path.read_bytes() == content


def test_without_a_file_the_preset_gets_the_campaigns_name() -> None:
    assert f"presets/{NAME}.yaml: written" in _run("regenerate", "--all")
    assert presets.load_preset(NAME).name == NAME


@pytest.mark.parametrize("which", ["--all", NAME])
def test_a_check_that_finds_no_file_of_a_campaign_is_not_green(which: str) -> None:
    output = _run("regenerate", which, "--check", code=1)
    assert f"{NAME}: no preset file in presets or {SHIPPED}" in output
    assert not Path("presets").exists()
    Path("mine").mkdir()
    assert f"{NAME}: no preset file in mine" in _run("regenerate", which, "--check", "--presets", "mine", code=1)


def test_a_check_that_compared_nothing_is_not_green() -> None:
    shutil.rmtree(f"results/{NAME}")
    assert "nothing was compared" in _run("regenerate", "--all", "--check", code=1)


@pytest.mark.parametrize("option", ["--results", "--presets"])
def test_a_check_of_a_folder_that_is_not_there_is_refused(option: str) -> None:
    _run("export", NAME, "--as", "mine")
    done = RUN.invoke(app, ["regenerate", "--all", "--check", option, "nowhere"])
    assert "There is no folder nowhere" in str(done.exception)


def test_a_check_looks_at_the_shipped_presets_of_the_campaigns_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    _run("export", NAME, "--as", "mine", "--presets", str(shipped))
    shutil.copy(Path(SHIPPED) / "btc_eth_5m_30d.yaml", shipped)  # its campaign is not here
    for module in (library, presets_command):
        monkeypatch.setattr(module, "SHIPPED", shipped)
    output = _run("regenerate", "--all", "--check")
    assert f"{shipped}/mine.yaml: unchanged" in output
    assert "btc_eth_5m_30d" not in output
    assert "there is no campaign btc-eth-5m-30d" in _run(
        "regenerate", "--all", "--check", "--presets", str(shipped), code=1
    )
    path = shipped / "mine.yaml"
    path.write_text(path.read_text().replace("batch_size: ", "batch_size: 1"))
    assert f"{shipped}/mine.yaml: differs" in _run("regenerate", "--all", "--check", code=1)


def test_what_is_no_concluded_campaign_is_passed_over_and_the_others_are_written() -> None:
    shutil.copytree(f"results/{NAME}", "results/backup")
    shutil.copytree(f"results/{NAME}", f"results/{NAME}.bak")
    shutil.copytree(f"results/{NAME}", "results/going-on")
    Path("results/going-on/manifest.json").unlink()
    Path("results/notes").mkdir()
    for code, flags in ((0, []), (0, ["--check"])):
        output = _run("regenerate", "--all", *flags, code=code)
        assert f"results/backup: skipped: results/backup holds campaign '{NAME}'" in output
        assert f"results/{NAME}.bak: skipped: it is not a campaign" in output
        assert "results/going-on: skipped: it has no manifest" in output
        assert "results/notes: skipped: it is not a campaign" in output
    assert [path.name for path in Path("presets").iterdir()] == [f"{NAME}.yaml"]


def test_a_damaged_campaign_is_told_and_the_others_are_written() -> None:
    shutil.copytree(f"results/{NAME}", "results/another")
    Path("results/another/trials.parquet").write_bytes(b"")
    output = _run("regenerate", "--all", code=1)
    assert "trials.parquet was changed after" in output
    assert f"presets/{NAME}.yaml: written" in output


def test_a_preset_whose_campaign_is_gone_is_told() -> None:
    _run("export", NAME, "--as", "mine")
    shutil.rmtree(f"results/{NAME}")
    assert f"presets/mine.yaml: there is no campaign {NAME}" in _run("regenerate", "--all", "--check", code=1)


def test_a_campaign_without_its_manifest_is_refused() -> None:
    _run("export", NAME, "--as", "mine")
    Path(f"results/{NAME}/manifest.json").unlink()
    assert "has no manifest" in _run("regenerate", "--all")
    output = _run("regenerate", "--all", "--check", code=1)
    assert f"presets/mine.yaml: there is no campaign {NAME} that was concluded" in output
    assert "has no manifest" in str(RUN.invoke(app, ["regenerate", NAME, "--check"]).exception)


def test_what_is_not_of_the_same_campaign_and_data_is_not_overwritten() -> None:
    path = Path(f"presets/{NAME}.yaml")
    path.parent.mkdir()
    six = "{learning_rate: 0.1, batch_size: 64, weight_decay: 0.0, dropout: 0.0, focal_gamma: 0.0, mixup_alpha: 0.0}"
    original = f"name: small\nhyperparameters: {six}\n"
    path.write_text(original)
    assert "holds another preset" in _run("regenerate", NAME, code=1)
    assert path.read_text() == original
    path.unlink()
    _run("export", NAME, "--as", NAME)
    other = path.read_text().replace("fingerprint: ", "fingerprint: 00")
    path.write_text(other)
    assert "holds another preset" in _run("regenerate", NAME, code=1)
    assert path.read_text() == other


def test_a_later_campaign_of_the_same_name_and_bars_does_not_replace_the_preset_of_the_first() -> None:
    _run("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    first = path.read_text()
    assert "  started: '2024-05-01T00:00:00+00:00'\n" in first
    other = first.replace("started: '2024-05-01", "started: '2024-04-01")
    path.write_text(other)
    assert "of another campaign of this name" in str(RUN.invoke(app, ["export", NAME, "--as", "mine"]).exception)
    assert "holds another preset" in _run("regenerate", NAME, code=1)
    assert path.read_text() == other
    path.write_text("".join(line for line in first.splitlines(keepends=True) if "started:" not in line))
    _run("export", NAME, "--as", "mine")  # an older program did not write down when it was
    assert path.read_text() == first


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_a_damaged_preset_is_told_kept_and_made_again(name: str) -> None:
    _run("export", NAME, "--as", name)
    path = Path(f"presets/{name}.yaml")
    whole = path.read_text()
    damaged = whole.replace("batch_size:", "batch_sice:")
    path.write_text(damaged)
    assert "batch_sice" in _run("regenerate", "--all", "--check", code=1)
    assert "damaged" in _run("presets", "list")
    output = _run("regenerate", NAME)
    assert f"{path}: damaged; kept as {name}.yaml.bak" in output
    assert f"{path}: written" in output
    assert path.read_text() == whole
    assert Path(f"{path}.bak").read_text() == damaged
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.bak"]


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_a_preset_of_a_newer_schema_is_never_replaced(name: str) -> None:
    _run("export", NAME, "--as", name)
    path = Path(f"presets/{name}.yaml")
    newer = path.read_text().replace(f"schema_version: {SCHEMA_VERSION}", "schema_version: 99")
    path.write_text(newer)
    for args in (["--all"], [NAME], ["--all", "--check"]):
        assert "Upgrade preset-search" in _run("regenerate", *args, code=1)
    assert "Upgrade preset-search" in str(RUN.invoke(app, ["export", NAME, "--as", name]).exception)
    assert path.read_text() == newer
    assert list(path.parent.iterdir()) == [path]


def test_an_export_replaces_an_earlier_one_of_its_campaign() -> None:
    _run("export", NAME, "--as", "mine")
    path = Path("presets/mine.yaml")
    whole = path.read_text()
    path.write_text(whole.replace("status: not confirmed", "status: not certified"))
    _run("export", NAME, "--as", "mine")
    assert path.read_text() == whole


@pytest.mark.parametrize("args", [[], [NAME, "--all"]])
def test_campaigns_or_all_must_be_given(args: list[str]) -> None:
    done = RUN.invoke(app, ["regenerate", *args])
    assert "Either campaigns or --all must be given" in str(done.exception)


def test_the_bytes_are_the_same_in_another_process_with_another_hash_seed_and_without_ray() -> None:
    _run("export", NAME, "--as", "mine")
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


def test_presets_are_listed_shown_compared_and_checked() -> None:
    _run("export", NAME, "--as", "mine")
    output = _run("presets", "list")
    assert "mine" in output
    assert "not confirmed" in output
    assert "production_small" in output
    assert "# Peak learning rate of AdamW. [above 0, at most 1]" in _run("presets", "show", "production_small")
    output = _run("presets", "diff", "production_small", "quick_experiment")
    assert "training.epochs" in output
    assert "training.schedule" not in output
    assert "mine: valid" in _run("presets", "check")
    Path("presets/mine.yaml").write_text("name: other")
    done = RUN.invoke(app, ["presets", "check", "presets/mine.yaml", "production_small"])
    assert "hyperparameters" in done.output
    assert "production_small: valid" in done.output
    assert "1 of the presets cannot be loaded" in str(done.exception)


HOSTILE = "[/bold] [red]x[/red] [link=file:///x]y[/link] :smile: \x1b[31mred\x1b]0;title\x07 \x9b1m \u202eback \\"


def test_what_a_preset_says_is_shown_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    _run("export", NAME, "--as", "mine")
    content = presets.load_preset("mine").model_dump(mode="json")
    content["description"] = content["provenance"]["campaign"] = HOSTILE
    content["provenance"]["versions"] = {HOSTILE: HOSTILE}
    path = Path("presets/mine.yaml")
    path.write_text(to_yaml(content))
    shown = "[/bold] [red]x[/red] [link=file:///x]y[/link] :smile: [31mred]0;title 1m back \\"
    for args in (["list"], ["diff", "mine", "production_small"]):
        output = _run("presets", *args)
        assert shown in output
        assert all(character.isprintable() for character in output.replace("\n", ""))
    output = _run("presets", "show", "mine")
    assert ":smile:" in output
    assert all(character.isprintable() for character in output.replace("\n", ""))
    assert shown in _run("regenerate", "--all", code=1)
    path.write_text(to_yaml({HOSTILE: 1, **content}))
    for command in ("list", "check"):
        output = RUN.invoke(app, ["presets", command]).output
        assert "[/bold] [red]x[/red]" in output
        assert ":smile:" in output
        assert all(character.isprintable() for character in output.replace("\n", ""))


@pytest.mark.parametrize("name", ["../mine", "/etc/passwd", "a/b", ".", ""])
def test_a_path_is_no_presets_name(name: str) -> None:
    done = RUN.invoke(app, ["export", NAME, "--as", name])
    assert "cannot be the name of a preset" in str(done.exception)
    done = RUN.invoke(app, ["regenerate", name])
    assert "cannot be the name of a campaign" in str(done.exception)
    assert not Path("presets").exists()
