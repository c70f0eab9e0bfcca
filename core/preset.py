"""Preset files: the recipe of one training, by name.

A preset names the six hyperparameters plus schedule, epochs, patience, smoothing and
augmentation; what it leaves out takes the value that `production_small` has, which is also
the default of each setting in `core.config`.

A name is looked up among the shipped presets first, so that no file of the working folder can
pose as one of them, then in the folder `presets/` of the working directory. A name that ends in
`.yaml` is a path.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from pydantic.fields import FieldInfo

from core import config
from core.config import (
    AugmentConfig,
    BalanceConfig,
    Config,
    LossConfig,
    ModelConfig,
    ModelSize,
    RankingMetric,
    Schedule,
    TrainerConfig,
    TrainingConfig,
    parse,
    read_yaml,
)
from core.errors import ConfigError
from core.files import write_text
from core.provenance import Figure, Provenance

SCHEMA_VERSION = 2
SHIPPED = Path(__file__).parent / "presets"
USER_FOLDER = Path("presets")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME.pattern}$")]


class NewerSchemaError(ConfigError):
    """A preset file that a later version of this program wrote: whole, but not to be read by this one."""


class Hyperparameters(Config):
    """The six that a campaign searches."""

    learning_rate: float = Field(gt=0.0, le=1.0)
    """Peak learning rate of AdamW."""
    batch_size: int = Field(ge=1)
    """Windows per optimizer step."""
    weight_decay: float = Field(ge=0.0)
    """Decoupled weight decay."""
    dropout: float = Field(ge=0.0, lt=1.0)
    """Probability that an activation is dropped."""
    focal_gamma: float = Field(ge=0.0, le=10.0)
    """Focusing exponent of the focal loss."""
    mixup_alpha: float = Field(ge=0.0, le=10.0)
    """Both parameters of mixup's Beta distribution; 0 is off."""


class PresetAugmentation(Config):
    """Augmentation beside mixup; fields as in `core.config.AugmentConfig`."""

    time_mask: float = Field(default=AugmentConfig().time_mask, ge=0.0, le=0.9)
    """Longest masked stretch, as a share of the window."""
    noise_std: float = Field(default=AugmentConfig().noise_std, ge=0.0)
    """Standard deviation of Gaussian noise, in scaled units."""
    feature_dropout: float = Field(default=AugmentConfig().feature_dropout, ge=0.0, lt=1.0)
    """Probability that a feature of a sample is blanked."""


class PresetTraining(Config):
    """What a preset says beside the six hyperparameters."""

    schedule: Schedule = TrainerConfig().schedule
    """How the learning rate changes over the epochs."""
    epochs: int = Field(default=TrainerConfig().epochs, ge=1)
    """Most epochs to train."""
    patience: int | None = Field(default=TrainerConfig().patience, ge=1)
    """Epochs without improvement after which training ends; null trains all epochs."""
    final_epochs: int | None = Field(default=None, ge=1)
    """Epochs that a training on all rows runs, without validation; null: not confirmed."""
    label_smoothing: float = Field(default=LossConfig().label_smoothing, ge=0.0, lt=1.0)
    """Probability mass spread evenly over the classes."""
    augmentation: PresetAugmentation = PresetAugmentation()
    """Augmentation beside mixup."""


class Preset(Config):
    """One preset file."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    """Version of this layout."""
    name: Name
    """The preset's name, equal to its file's."""
    description: str = ""
    """One sentence for people."""
    hyperparameters: Hyperparameters
    """The six."""
    training: PresetTraining = PresetTraining()
    """The rest of the recipe."""
    provenance: Provenance | None = None
    """Where the values came from; null for the presets of the guide."""

    def training_config(self, *, size: ModelSize, metric: RankingMetric, seed: int) -> TrainingConfig:
        """The full training recipe.

        Args:
            size: model size, which a preset leaves to the machine.
            metric: ranking metric that chooses the best epoch.
            seed: seed of everything random in the training.
        """
        six, rest = self.hyperparameters, self.training
        return TrainingConfig(
            model=ModelConfig(size=size, dropout=six.dropout),
            loss=LossConfig(focal_gamma=six.focal_gamma, label_smoothing=rest.label_smoothing),
            augment=AugmentConfig(mixup_alpha=six.mixup_alpha, **rest.augmentation.model_dump()),
            balance=BalanceConfig(),
            trainer=TrainerConfig(
                learning_rate=six.learning_rate,
                batch_size=six.batch_size,
                weight_decay=six.weight_decay,
                schedule=rest.schedule,
                epochs=rest.epochs,
                patience=rest.patience,
                metric=metric,
                seed=seed,
            ),
        )


def is_name(text: str) -> bool:
    """Whether a text can be the name of a preset or campaign."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str, what: str = "preset") -> str:
    """Return `name` if it can be a file's name on every system; never a path.

    Raises:
        ConfigError: it cannot.
    """
    if not is_name(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a {what}",
            "Use up to 64 letters, digits, '-' and '_', a letter or digit first",
        )
    return name


def shipped_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def list_names() -> list[str]:
    """Names of all presets that `load` finds here, sorted."""
    return sorted({*shipped_names(), *(path.stem for path in USER_FOLDER.glob("*.yaml"))})


def load(name_or_path: str) -> Preset:
    """Load a preset by name, or by path when it ends in `.yaml`.

    Raises:
        ConfigError: there is no such preset, or its file is damaged.
    """
    if name_or_path.endswith(".yaml"):
        return _read(Path(name_or_path))
    check_name(name_or_path)
    for folder in (SHIPPED, USER_FOLDER):
        if (folder / f"{name_or_path}.yaml").is_file():
            return _read(folder / f"{name_or_path}.yaml")
    known = list_names()
    close = difflib.get_close_matches(name_or_path, known, n=1)
    hint = f"Did you mean {close[0]!r}? There are" if close else "There are"
    raise ConfigError(f"There is no preset {name_or_path!r}", f"{hint}: {', '.join(known)}")


def _read(path: Path) -> Preset:
    content = read_yaml(path)
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this program knows up to {SCHEMA_VERSION}", "Upgrade preset-search"
        )
    preset = parse(Preset, _migrated(content), str(path))
    if preset.name != path.stem:
        raise ConfigError(f"{path} holds a preset that is named {preset.name!r}", "Give file and preset one name")
    return preset


def _migrated(content: dict[str, Any]) -> dict[str, Any]:
    """The same preset in the present layout.

    1 to 2: presets of the guide had an empty provenance instead of none.
    """
    if content.get("schema_version", 1) == 1:
        return {**content, "schema_version": 2, "provenance": content.get("provenance") or None}
    return content


_HEAD = """\
# A training preset. Train with it:  preset-train --preset {name}
# Written by a program; the same campaign gives the same bytes. Change a copy under another name.
"""


def to_yaml(preset: Preset) -> str:
    """The text of a preset file, a comment over each value: the same text for the same preset, everywhere."""
    lines = [_HEAD.format(name=preset.name)]
    lines += _commented(preset, "")
    return "".join(lines)


def _commented(settings: Config, indent: str) -> Iterator[str]:
    """Lines of YAML, each value below what it means and where it may lie."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        yield f"{indent}# {' '.join(str(field.description).split())}{_range(field)}\n"
        if isinstance(value, Figure):
            ends = ", ".join(f"{key}: {json.dumps(end)}" for key, end in value.model_dump().items())
            yield f"{indent}{name}: {{{ends}}}\n"
        elif isinstance(value, Config):
            yield f"{indent}{name}:\n"
            yield from _commented(value, f"{indent}  ")
        else:
            plain = config.to_yaml({name: settings.model_dump(mode="json", include={name})[name]})
            yield "".join(f"{indent}{line}\n" for line in plain.rstrip("\n").split("\n"))


def _range(field: FieldInfo) -> str:
    """The bounds of a number, in words; empty without any."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [
        f"{word} {getattr(each, key):g}" for each in field.metadata for key, word in words.items() if hasattr(each, key)
    ]
    return f" [{', '.join(bounds)}]" if bounds else ""


def save(preset: Preset, folder: Path = USER_FOLDER) -> Path:
    """Write a preset to `folder/<name>.yaml`, whole or not at all.

    Writing a preset of the same campaign on the same data again is allowed; replacing another one is not.

    Raises:
        NewerSchemaError: a later version of this program wrote the file that is there.
        ConfigError: the name is taken, or the folder cannot be written.
    """
    path = folder / f"{preset.name}.yaml"
    text = to_yaml(preset)
    if preset.name in shipped_names():
        raise ConfigError(f"{preset.name!r} is a shipped preset", "Choose another name")
    if path.is_file() and path.read_bytes() == text.encode():
        return path
    if path.exists() and not is_of_same_campaign(path, preset):
        raise ConfigError(
            f"{path} already holds another preset, or that of another campaign of this name",
            "Choose another name, or remove that file",
        )
    write_text(path, text)
    return path


def is_of_same_campaign(path: Path, preset: Preset) -> bool:
    """Whether a file holds a preset of the same campaign, on the same data: an earlier state of this one.

    Raises:
        NewerSchemaError: a later version of this program wrote the file.
    """
    try:
        there = _read(path).provenance
    except NewerSchemaError:
        raise
    except ConfigError:
        return False
    own = preset.provenance
    if there is None or own is None:
        return False
    if None not in (there.started, own.started) and there.started != own.started:
        return False
    return (there.campaign, there.data.fingerprint) == (own.campaign, own.data.fingerprint)
