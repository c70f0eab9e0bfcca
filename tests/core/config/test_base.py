from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.config import Config, DataConfig, Hyperparameters, SyntheticConfig, TrainerConfig, TrainingConfig, parse
from core.errors import ConfigError
from core.files import read_yaml
from core.presets import Provenance
from tests.helpers.configs import read_settings


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TrainingConfig, {"trainer": {"learning_rat": 0.1}}, "recipe.yaml")
    assert caught.value.what == "recipe.yaml: unknown key 'trainer.learning_rat' (did you mean 'learning_rate'?)"


def test_an_unknown_key_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TrainerConfig, {"zzz": 1}, "here")
    assert caught.value.what == "here: unknown key 'zzz'"


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TrainerConfig, {"epochs": 0, "batch_size": "many"}, "here")
    assert "'epochs'" in caught.value.what
    assert "'batch_size'" in caught.value.what


@pytest.mark.parametrize(
    "content",
    [{"epochs": "3"}, {"epochs": 3.0}, {"epochs": True}, {"learning_rate": "1e-4"}, {"metric": "loss"}, {"seed": None}],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(content))):
        parse(TrainerConfig, content, "here")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(ConfigError, match="'learning_rate'"):
        parse(TrainerConfig, {"learning_rate": value}, "here")
    with pytest.raises(ValidationError):
        DataConfig(symbols=("A",), days=value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TrainerConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("5E-05", 5e-5), ("-2.5e3", -2500.0), ("1.0e-4", 1e-4), ("+1e2", 100.0)]
)
def test_scientific_notation_in_yaml_is_a_number(tmp_path: Path, text: str, value: float) -> None:
    assert read_settings(tmp_path, f"x: {text}") == {"x": value}


def test_quoted_scientific_notation_stays_text(tmp_path: Path) -> None:
    assert read_settings(tmp_path, "x: '1e-4'") == {"x": "1e-4"}


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    assert read_settings(tmp_path_factory.getbasetemp(), f"x: {value!r}") == {"x": value}


def test_yaml_lists_become_tuples_and_strings_paths(tmp_path: Path) -> None:
    content = read_settings(tmp_path, "files: [a.parquet, b.parquet]\nlabels: {quantiles: [0.2, 0.8]}")
    parsed = parse(DataConfig, content, "here")
    assert parsed.files == (Path("a.parquet"), Path("b.parquet"))
    assert parsed.labels.quantiles == (0.2, 0.8)


def test_an_instant_in_yaml_is_read(tmp_path: Path) -> None:
    content = read_settings(tmp_path, "symbols: [A]\nuntil: 2024-05-01T12:00:00Z")
    assert parse(DataConfig, content, "here").until == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_configs_survive_the_way_through_json() -> None:
    config = DataConfig(
        synthetic=SyntheticConfig(symbols=("A", "B")), days=2.5, until=datetime(2024, 5, 1, tzinfo=UTC), store=Path("x")
    )
    assert parse(DataConfig, config.model_dump(mode="json"), "here") == config


@pytest.mark.parametrize("text", ["", "- a\n- b", "just words", "3"], ids=["empty", "list", "text", "number"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="holds no settings"):
        read_settings(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    ["a: [1, 2", "a: !!python/object/apply:os.getcwd []", "until: 2024-13-45", "a: !!int x", "a: " + "[" * 3000],
    ids=["unclosed", "object", "no such day", "no such number", "too deep"],
)
def test_yaml_that_cannot_be_read_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(tmp_path, text)
    assert f"{tmp_path / 'settings.yaml'} is not valid YAML" in caught.value.what
    assert "unicode string" not in caught.value.what
    assert any(
        place in caught.value.what
        for place in ("(line ", "(character ", "too deeply", "day is out", "month must", "invalid literal")
    )


@pytest.mark.parametrize("text", ["2024-01-01: 3", "epochs: &again [*again]"], ids=["date as key", "holds itself"])
def test_yaml_that_settings_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="here"):
        parse(TrainerConfig, read_settings(tmp_path, text), "here")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(tmp_path / "settings.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml cannot be read \(No such file"):
        read_yaml(tmp_path / "nothing.yaml")


def _config_classes(base: type[Config]) -> set[type[Config]]:
    """Return every settings class of core."""
    classes = {base}.union(*map(_config_classes, base.__subclasses__()))
    return {cls for cls in classes if cls.__module__.startswith("core.")}


def test_every_setting_is_documented() -> None:
    classes = _config_classes(Config)
    assert {TrainerConfig, DataConfig, SyntheticConfig, Hyperparameters, Provenance} <= classes
    undocumented = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, field in cls.model_fields.items()
        # The parts of a training recipe are documented by their own classes.
        if not field.description and cls is not TrainingConfig
    ]
    assert undocumented == []


def test_a_key_that_is_set_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="days is set twice"):
        read_settings(tmp_path, "data:\n  days: 3\n  days: 4\n")
    assert read_settings(tmp_path, "a: {days: 3}\nb: {days: 4}\n") == {"a": {"days": 3}, "b": {"days": 4}}
