"""Preset files: their layout, and how they are found, read and written."""

from core.presets.comparison import Difference, data_defaults, find_differences
from core.presets.library import (
    SHIPPED,
    USER_FOLDER,
    is_of_same_campaign,
    load_preset,
    preset_names,
    save_preset,
    shipped_preset_names,
)
from core.presets.provenance import Confirmation, Figure, Headline, PresetData, Provenance, Status
from core.presets.rendering import preset_yaml
from core.presets.schema import SCHEMA_VERSION, NewerSchemaError, Preset, PresetAugmentation, PresetTraining

__all__ = [
    "SCHEMA_VERSION",
    "SHIPPED",
    "USER_FOLDER",
    "Confirmation",
    "Difference",
    "Figure",
    "Headline",
    "NewerSchemaError",
    "Preset",
    "PresetAugmentation",
    "PresetData",
    "PresetTraining",
    "Provenance",
    "Status",
    "data_defaults",
    "find_differences",
    "is_of_same_campaign",
    "load_preset",
    "preset_names",
    "preset_yaml",
    "save_preset",
    "shipped_preset_names",
]
