from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from core import presets
from core.config import Hyperparameters, parse
from core.errors import ConfigError
from core.presets import SCHEMA_VERSION, Preset, PresetAugmentation, PresetData, PresetTraining, Provenance, library
from tests.helpers.preset_files import SIX, make_preset

GOLDEN = Path(__file__).parents[2] / "golden" / "presets"


def _provenance(text: str) -> Provenance:
    data = {
        "synthetic": False,
        "symbols": [text],
        "span": [text, text],
        "fingerprint": text,
        "window": 60,
        "horizon": 3,
    }
    return Provenance(
        status="not confirmed",
        campaign=text,
        dry_run=False,
        trial=3,
        best_epoch=2,
        ranking_metric="nll",
        val_value=-1e-7,
        model="quick",
        seed=0,
        data=parse(PresetData, {**data, "settings": {"labels": {"kind": text, "quantiles": [0.25, 1e-9]}}}, "test"),
        versions={"torch": text},
    )


def _write(path: Path, **fields: Any) -> str:
    path.write_text(yaml.safe_dump({"schema_version": 1, "name": path.stem, "hyperparameters": SIX, **fields}))
    return str(path)


GOLDEN = Path(__file__).parents[2] / "golden" / "presets"

# The guide's recipes, figure by figure.
GUIDE: dict[str, tuple[dict[str, float], PresetTraining]] = {
    "production_small": (
        {
            "learning_rate": 5e-5,
            "batch_size": 256,
            "weight_decay": 0.01,
            "dropout": 0.4,
            "focal_gamma": 2.5,
            "mixup_alpha": 0.2,
        },
        PresetTraining(epochs=150, label_smoothing=0.1),
    ),
    "production_large": (
        {
            "learning_rate": 1e-4,
            "batch_size": 128,
            "weight_decay": 0.005,
            "dropout": 0.3,
            "focal_gamma": 2.0,
            "mixup_alpha": 0.1,
        },
        PresetTraining(epochs=100, label_smoothing=0.05),
    ),
    "quick_experiment": (
        {
            "learning_rate": 1e-4,
            "batch_size": 128,
            "weight_decay": 0.01,
            "dropout": 0.4,
            "focal_gamma": 2.5,
            "mixup_alpha": 0.0,
        },
        PresetTraining(
            epochs=30,
            patience=10,
            augmentation=PresetAugmentation(time_mask=0.0, noise_std=0.0, feature_dropout=0.0),
        ),
    ),
    "conservative": (
        {
            "learning_rate": 3e-5,
            "batch_size": 256,
            "weight_decay": 0.02,
            "dropout": 0.5,
            "focal_gamma": 3.0,
            "mixup_alpha": 0.2,
        },
        PresetTraining(label_smoothing=0.15),
    ),
}


@pytest.mark.parametrize("name", GUIDE)
def test_a_shipped_preset_holds_the_guides_values(name: str) -> None:
    six, training = GUIDE[name]
    loaded = presets.load_preset(name)
    assert loaded.name == name
    assert loaded.hyperparameters.model_dump() == six
    assert loaded.training == training
    assert loaded.provenance is None


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_of_every_schema_version_load(path: Path) -> None:
    loaded = presets.load_preset(str(path))
    assert (loaded.schema_version, loaded.name) == (SCHEMA_VERSION, path.stem)
    assert (loaded.provenance is None) == path.stem.endswith("_guide")


def test_there_is_a_golden_preset_of_every_schema() -> None:
    assert {f"schema_{version + 1}" for version in range(SCHEMA_VERSION)} <= {
        path.stem for path in GOLDEN.glob("*.yaml")
    }
    guide = presets.load_preset(str(GOLDEN / "schema_1_guide.yaml"))
    shipped = presets.load_preset("production_small")
    training = shipped.training.model_copy(
        update={"last_bar": "none", "forest": "none", "ema_decay": 0.0}
    )  # the network of its time
    assert guide.model_copy(update={"name": "production_small", "training": guide.training}) == shipped.model_copy(
        update={"training": training}
    )


def test_what_is_shipped_is_the_guides_or_a_campaigns() -> None:
    for name in set(presets.shipped_preset_names()) - GUIDE.keys():
        loaded = presets.load_preset(name)
        assert loaded.provenance is not None
        assert loaded.provenance.confirmation is not None
    assert set(presets.shipped_preset_names()) >= GUIDE.keys()


def test_an_unknown_preset_is_answered_with_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigError) as caught:
        presets.load_preset("production_smal")
    assert caught.value.what == "There is no preset 'production_smal'"
    assert caught.value.remedy.startswith("Did you mean 'production_small'?")
    assert all(name in caught.value.remedy for name in GUIDE)


@pytest.mark.parametrize("name", ["../secret", "a/b", "/etc/passwd", "", ".hidden", "-x", "a b", "x" * 65, "a\n"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a preset"):
        presets.load_preset(name)
    with pytest.raises(ConfigError, match="'name'"):
        parse(Preset, {"name": name, "hyperparameters": SIX}, "here")


def test_presets_are_found_in_the_working_folder_and_by_path(tmp_path: Path) -> None:
    path = presets.save_preset(make_preset())
    assert path == Path("presets/mine.yaml")
    assert presets.load_preset("mine") == presets.load_preset(str(tmp_path / path)) == make_preset()
    assert presets.preset_names() == sorted([*presets.shipped_preset_names(), "mine"])


def test_a_file_in_the_working_folder_never_replaces_a_shipped_preset(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    _write(tmp_path / "presets" / "conservative.yaml")
    assert presets.load_preset("conservative").hyperparameters.learning_rate == 3e-5


def test_a_preset_whose_file_has_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="production_small"):
        presets.load_preset(_write(tmp_path / "mine.yaml", name="production_small"))


rates = st.floats(min_value=0, max_value=1, exclude_min=True)


@given(rate=rates, decay=st.floats(0, 1e300), gamma=st.floats(0, 10), text=st.text())
@example(rate=1e-5, decay=5e-324, gamma=0.1 + 0.2, text="1e-4")
@example(rate=1.0, decay=1e22, gamma=2.5, text="12e3")
@example(rate=1.0, decay=0.0, gamma=0.0, text="next\x85line\u2028and\u2029paragraph")
@example(rate=1.0, decay=0.0, gamma=0.0, text="yes: 'no' # 2024-01-01\n\t[x]")
def test_saving_and_loading_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, rate: float, decay: float, gamma: float, text: str
) -> None:
    six = Hyperparameters(**(SIX | {"learning_rate": rate, "weight_decay": decay, "focal_gamma": gamma}))
    preset = Preset(name="mine", description=text, hyperparameters=six, provenance=_provenance(text))
    path = presets.save_preset(preset, tmp_path_factory.mktemp("presets"))
    assert presets.load_preset(str(path)) == preset


def test_the_same_preset_may_be_saved_twice() -> None:
    first = presets.save_preset(make_preset()).read_bytes()
    assert presets.save_preset(make_preset()).read_bytes() == first


def test_another_preset_is_never_overwritten() -> None:
    path = presets.save_preset(make_preset())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="already holds another preset"):
        presets.save_preset(make_preset(description="changed"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("obstacle", ["folder", "bytes"])
def test_a_path_that_cannot_be_written_is_refused_with_an_error_message(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "mine.yaml"
    path.mkdir() if obstacle == "folder" else path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        presets.save_preset(make_preset(), tmp_path)


def test_the_name_of_a_shipped_preset_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a shipped preset"):
        presets.save_preset(make_preset("conservative"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = _write(tmp_path / "mine.yaml", schema_version=SCHEMA_VERSION + 1, invented_later=True)
    with pytest.raises(ConfigError, match="Upgrade preset-search"):
        presets.load_preset(path)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hyperparameters": SIX | {"learning_rate": 2.0}}, "hyperparameters.learning_rate"),
        ({"hyperparameters": {**SIX, "momentum": 0.9}}, "hyperparameters.momentum"),
        ({"hyperparameters": {k: v for k, v in SIX.items() if k != "dropout"}}, "'hyperparameters.dropout' is missing"),
        ({"training": {"augmentation": {"time_mask": 2.0}}}, "training.augmentation.time_mask"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_preset_names_file_and_place(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    path = _write(tmp_path / "mine.yaml", **fields)
    with pytest.raises(ConfigError) as caught:
        presets.load_preset(path)
    assert path in caught.value.what
    assert named in caught.value.what


def test_what_is_no_longer_trusted_is_not_carried_over() -> None:
    confirmation = presets.load_preset(str(GOLDEN / "schema_2.yaml")).provenance.confirmation  # type: ignore[union-attr]
    assert confirmation is not None
    assert confirmation.test is not None
    assert confirmation.test.lead_metric == "macro_f1"
    assert (confirmation.tradable, confirmation.probabilistic_sharpe, confirmation.overfitting) == (None, None, None)
    kept = presets.load_preset(str(GOLDEN / "schema_3.yaml")).provenance.confirmation  # type: ignore[union-attr]
    assert kept is not None
    assert (kept.tradable, kept.probabilistic_sharpe, kept.overfitting) == ("no", 0.41, 0.52)


@pytest.mark.parametrize("provenance", [None, 3, {"confirmation": None}, {"confirmation": {"test": None}}])
def test_a_damaged_or_empty_provenance_is_left_to_be_refused(provenance: object) -> None:
    migrated = library.migrate({"schema_version": 2, "provenance": provenance})
    assert migrated["schema_version"] == SCHEMA_VERSION
