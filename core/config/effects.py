"""Refuses settings that a user gives although they can have no effect: a silent one would be believed to be obeyed."""

from __future__ import annotations

from collections.abc import Collection

from core.config.data import SOURCES, UNUSED_BY_SOURCE, DataConfig, LabelConfig
from core.errors import ConfigError

_REASONS = {
    ("files", "interval"): "the names of the files tell it",
    ("files", "store"): "the files are read wherever they lie",
    ("table", "labels"): "a feature table brings its own labels",
    ("table", "store"): "a feature table is read, and no store",
    ("table", "exchange"): "a feature table is read, and no bars of an exchange",
    ("synthetic", "store"): "the synthetic market is made, not read",
    ("synthetic", "exchange"): "the synthetic market has no exchange",
}
"""Why a setting has no effect, by the source of the data and the setting."""


def refuse_without_effect(config: DataConfig, flags: Collection[str], in_file: Collection[str] = ()) -> None:
    """Refuse data settings that can have no effect beside the others.

    Args:
        config: all data settings together.
        flags: names of the data settings that options of the command line give.
        in_file: names of those that the user's file gives. There, defaults are let pass: a file that was written by
            this program holds all settings.

    Raises:
        ConfigError: a setting can have no effect; the message names it, says why, and what to do.
    """
    given = {*flags, *in_file}
    source = next(name for name in SOURCES if getattr(config, name))
    for name in UNUSED_BY_SOURCE[source]:
        is_default = getattr(config, name) == DataConfig.model_fields[name].default
        if name in flags or (name in given and not is_default):
            shown = f"--{name}" if name in flags else name
            raise ConfigError(f"{shown} has no effect: {_REASONS[source, name]}", "Leave it out")
    if "labels" in given:
        _refuse_label_settings(config.labels)


def _refuse_label_settings(labels: LabelConfig) -> None:
    """Refuse a setting of labels, other than its default, on which labels of this kind do not depend."""
    unused = set(LabelConfig.model_fields) - {"kind", *labels.in_use()}
    for name in sorted(unused):
        if getattr(labels, name) != LabelConfig.model_fields[name].default:
            needed = "without volatility_scaled: true" if name == "volatility_span" else f"on {labels.kind} labels"
            raise ConfigError(f"labels: {name} has no effect {needed}", f"Leave it out, or give labels that use {name}")
