"""Compares a training from a preset with the trainings that the preset was measured with, as its provenance records.

What the user leaves open has the recorded value, see `data_defaults` and `Preset.training_config`. What differs from it
is listed by `find_differences`. A preset without provenance was measured with nothing in particular: it has no such
defaults, and nothing differs from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import DataConfig, LabelConfig, TrainingConfig, canonical_interval, parse
from core.presets.provenance import PresetData
from core.presets.schema import Preset

_DEFAULTS = (
    "labels", "features", "allow_lookahead", "fill_untraded", "sessions", "val_fraction", "test_fraction",
)  # fmt: skip
"""Recorded settings that are defaults of a training beside window, horizon and interval."""
_LATER = ("fill_untraded", "sessions")
"""Settings that earlier versions did not have, so that presets which do not record them were measured without."""
_OF_A_TABLE = ("horizon", "labels", "features", "allow_lookahead", "fill_untraded")
"""Settings that a ready feature table brings with it."""


@dataclass(frozen=True)
class Difference:
    """A setting in which a training differs from those that a preset was measured with.

    Attributes:
        name: the setting, such as horizon.
        value: its value in the training, as text.
        recorded: the value that the preset was measured with, as text.
        is_of_model: whether it makes another task or another model, for which the preset's number of epochs was not
            confirmed.
    """

    name: str
    value: str
    recorded: str
    is_of_model: bool

    def __str__(self) -> str:
        """Return the difference in words."""
        verb = "differ" if self.name.endswith("s") else "differs"
        return f"{self.name} {self.value} {verb} from the {self.recorded} that the preset was measured with"


def data_defaults(preset: Preset, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data settings that a preset was measured with, as defaults for those that the user leaves open.

    The interval is one of them only where it is a setting: files and tables have theirs. The horizon, the labels and
    the features of a table are its own, too.

    Args:
        preset: the preset to train from.
        settings: the user's data settings by name, which say where the data come from.

    Returns:
        Plain values by name; empty if the preset has no provenance.

    Example:
        `parse(DataConfig, {**data_defaults(preset, settings), **settings}, "my settings")`
    """
    if preset.provenance is None:
        return {}
    data = preset.provenance.data
    defaults: dict[str, Any] = {"window": data.window, "horizon": data.horizon}
    defaults |= {name: data.settings[name] for name in _DEFAULTS if name in data.settings}
    if settings.get("table") is not None:
        return {name: value for name, value in defaults.items() if name not in _OF_A_TABLE}
    if "features" in settings:  # of others, the recorded exceptions would match no column
        defaults.pop("allow_lookahead", None)
    if data.bar is not None and not settings.get("files"):
        defaults["interval"] = _interval(data.bar)
    return defaults


def find_differences(
    preset: Preset, recipe: TrainingConfig, data: DataConfig, interval: str, symbols: Sequence[str]
) -> list[Difference]:
    """List the settings in which a training differs from those that its preset was measured with.

    Args:
        preset: the preset that the recipe was made from.
        recipe: the recipe of the training.
        data: the data settings of the training.
        interval: length of its bars, such as 5m; empty if it is not known.
        symbols: its symbols; none if they are not known.

    Returns:
        The differences; none if the preset has no provenance. Settings that it does not record are not compared.

    Raises:
        ConfigError: the preset records data settings that this version does not know.
    """
    provenance = preset.provenance
    if provenance is None:
        return []
    recorded = provenance.data
    compared = [
        ("model", recipe.model.size, provenance.model, True),
        ("metric", recipe.trainer.metric, provenance.ranking_metric, False),
        ("interval", interval, _interval(recorded.bar) if recorded.bar else "", True),
        ("window", str(data.window), str(recorded.window), True),
        ("horizon", str(data.horizon), str(recorded.horizon), True),
        ("symbols", ", ".join(sorted(symbols)), ", ".join(sorted(recorded.symbols)), False),
    ]
    if data.table is None:  # whose labels and features are its own
        compared += _compare_settings(preset, data, recorded)
    return [Difference(*row) for row in compared if row[1] and row[2] and row[1] != row[2]]


def _compare_settings(preset: Preset, data: DataConfig, recorded: PresetData) -> list[tuple[str, str, str, bool]]:
    """Return labels, named features and splits, each beside its recorded value; none that the preset does not record.

    Args:
        preset: the preset, for the message.
        data: the data settings of the training.
        recorded: the data that the preset was measured on.
    """
    settings = {name: recorded.settings[name] for name in _DEFAULTS if name in recorded.settings}
    measured = parse(DataConfig, {"synthetic": {}, **settings}, f"preset {preset.name}, provenance.data.settings")
    described: list[tuple[str, str, Callable[[DataConfig], str], bool]] = [
        ("labels", "labels", lambda config: _describe_labels(config.labels), True),
        ("features", "named features", _describe_features, True),
        ("fill_untraded", "fill_untraded", lambda config: str(config.fill_untraded), True),
        ("sessions", "sessions", lambda config: str(config.sessions).lower(), True),
        ("val_fraction", "val_fraction", lambda config: f"{config.val_fraction:g}", False),
        ("test_fraction", "test_fraction", lambda config: f"{config.test_fraction:g}", False),
    ]
    return [
        (title, describe(data), describe(measured), is_of_model)
        for name, title, describe, is_of_model in described
        if name in settings or name in _LATER
    ]


def _describe_features(config: DataConfig) -> str:
    """Return the named features, each with how long its values are held if it is a slow column."""
    holds = config.holds
    return (
        ", ".join(f"{name} (hold {holds[name]})" if name in holds else name for name in sorted(config.feature_patterns))
        or "none"
    )


def _describe_labels(labels: LabelConfig) -> str:
    """Return the kind of labels, and the settings that they depend on."""
    values = ", ".join(f"{name} {value}" for name, value in labels.in_use().items())
    return f"{labels.kind} ({values})"


def _interval(bar: int) -> str:
    return canonical_interval(f"{bar // 1_000_000}s")
