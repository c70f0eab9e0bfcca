"""`preset-train check`: compares a preset or a trained model with the production checklist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from core import console, presets
from core.cli.options import VERDICT_COLOURS

CHECK_EPILOG = "Examples:\n\npreset-train check production_small\n\npreset-train check checkpoints/btc/checkpoint.pt"


def check(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|CHECKPOINT", help="Name or .yaml file of a preset, or a checkpoint.pt or its folder."
        ),
    ],
) -> None:
    """Compare a preset or a trained model with the production checklist, the guide's targets and the gates."""
    from core.evaluation.checklist import make_checklist
    from core.inference import TrainedModel
    from core.training.run import CHECKPOINT_FILE, FINAL_NOTE, TRAINED, UNMEASURED_NOTE
    from core.training.update import STATIC_NOTE

    path = Path(subject)
    # As in `load_preset`, the name of a preset means the preset, even if the working folder has a folder of that name.
    if path.is_dir() and subject not in presets.preset_names():
        path = path / CHECKPOINT_FILE
    if path.suffix == ".pt":
        trained = TrainedModel.load(path)
        lines = make_checklist(trained.config, trained.findings)
        if trained.findings:
            note = "The figures are optimistic: the best epoch was selected on these validation rows."
            if "update" in trained.about:
                note += f" They were {STATIC_NOTE}."
        else:
            unfinished = trained.about.get("state") == TRAINED
            note = f"{(UNMEASURED_NOTE if unfinished else FINAL_NOTE).capitalize()}."
    else:
        preset = presets.load_preset(subject)
        lines = make_checklist(preset.training_config(), {})
        note = "A preset is a recipe. To measure its figures, train it (preset-train), then check the checkpoint."
    table = Table(title=f"Checklist of {escape(subject)}", title_justify="left")
    for heading in ("", "", "value", "should be", "verdict"):
        table.add_column(heading)
    for line in lines:
        colour = VERDICT_COLOURS[line.verdict]
        table.add_row(line.kind, line.name, escape(line.value), escape(line.bound), f"[{colour}]{line.verdict}[/]")
    console.out.print(table)
    console.out.print(note)
    console.out.print("Advice, checks and targets are the guide's and do not decide anything; only the gates do.")
