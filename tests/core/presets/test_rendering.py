"""The text of a preset file explains each value."""

from __future__ import annotations

import pytest

from core import presets
from core.presets import SHIPPED
from tests.helpers.preset_files import make_preset


@pytest.mark.parametrize("name", presets.shipped_preset_names())
def test_a_shipped_file_says_what_each_value_means(name: str) -> None:
    assert (SHIPPED / f"{name}.yaml").read_text() == presets.preset_yaml(presets.load_preset(name))


def test_a_name_that_looks_like_a_number_survives_saving() -> None:
    presets.save_preset(make_preset("1e5"))
    assert presets.load_preset("1e5") == make_preset("1e5")
