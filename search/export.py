"""From a campaign's winning row to a preset file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core import preset
from core.config import read_yaml
from core.errors import ConfigError
from core.preset import Hyperparameters, Preset, PresetAugmentation, PresetTraining
from search import results
from search.space import NAMES


def make_preset(campaign: Path, name: str) -> Preset:
    """The preset of a campaign's winner, marked as not confirmed.

    Args:
        campaign: the campaign's folder.
        name: the preset's name.

    Raises:
        ConfigError: the campaign has no winner, or its files are damaged.
    """
    preset.check_name(name)
    row = results.winner(results.read_trials(campaign))
    if row is None:
        raise ConfigError(
            f"Campaign {campaign.name} has no winner: no trial reached full fidelity", "Run it with more trials"
        )
    content = read_yaml(campaign / results.CONFIG_FILE)
    try:
        return _assemble(name, row, content["config"], content["resolved"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{campaign / results.CONFIG_FILE} is damaged ({' '.join(str(error).split())})", "Run the campaign again"
        ) from None


def _assemble(name: str, row: dict[str, Any], config: dict[str, Any], resolved: dict[str, Any]) -> Preset:
    recipe, data = resolved["base_recipe"], resolved["data"]
    what = "synthetic data" if data["synthetic"] else ", ".join(data["symbols"])
    return Preset(
        name=name,
        description=f"Winner of campaign {config['name']} on {what}; not confirmed.",
        hyperparameters=Hyperparameters(**{key: row[key] for key in NAMES}),
        training=PresetTraining(
            schedule=recipe["trainer"]["schedule"],
            epochs=recipe["trainer"]["epochs"],
            patience=recipe["trainer"]["patience"],
            label_smoothing=recipe["loss"]["label_smoothing"],
            augmentation=PresetAugmentation(**{key: recipe["augment"][key] for key in PresetAugmentation.model_fields}),
        ),
        provenance={
            "status": "not confirmed",
            "campaign": config["name"],
            "dry_run": config["dry_run"],
            "trial": row["number"],
            "best_epoch": row["best_epoch"],
            "ranking_metric": config["metric"],
            "val_value": row["value"],
            "model": config["model"],
            "seed": config["seed"],
            "data": {key: data[key] for key in ("synthetic", "symbols", "span", "fingerprint", "window", "horizon")},
            "versions": resolved["versions"],
        },
    )
