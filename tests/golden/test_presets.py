"""Preset files of every past layout can be loaded forever; they are never rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import presets
from core.presets import SCHEMA_VERSION

HERE = Path(__file__).parent / "presets"


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_preset_of_every_schema_version_loads(version: int) -> None:
    loaded = presets.load_preset(str(HERE / f"schema_{version}.yaml"))
    assert loaded.schema_version == SCHEMA_VERSION
    assert loaded.provenance is not None
    assert (loaded.hyperparameters.batch_size, loaded.training.schedule) == (
        {1: 256, 2: 64, 3: 64, 4: 64}[version],
        "cosine",
    )
    assert loaded.provenance.trial == {1: 15, 2: 3, 3: 3, 4: 3}[version]
    assert (loaded.provenance.confirmation is None) == (version == 1)


PRESENT = HERE / f"schema_{SCHEMA_VERSION}.yaml"


def test_the_text_of_the_present_layout_has_not_changed() -> None:
    assert presets.preset_yaml(presets.load_preset(str(PRESENT))) == PRESENT.read_text()


@pytest.mark.parametrize("state", ["started", "reworded", "loss"])
def test_a_file_of_layout_3_is_the_same_preset_with_the_network_of_its_time(state: str) -> None:
    earlier, present = presets.load_preset(str(HERE / f"schema_3_{state}.yaml")), presets.load_preset(str(PRESENT))
    of_its_time = {"last_bar": "none", "forest": "none", "ema_decay": 0.0}
    assert present.training.last_bar == "logistic"
    training = present.training.model_copy(update=of_its_time)
    assert earlier == present.model_copy(update={"name": earlier.name, "training": training})
    recipe = earlier.training_config()
    assert (recipe.model.last_bar, recipe.model.forest, recipe.trainer.ema_decay) == ("none", "none", 0.0)
