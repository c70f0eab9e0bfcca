"""`preset-train check`: holds a preset against the checklist."""

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
    what: Annotated[
        str, typer.Argument(metavar="PRESET|CHECKPOINT", help="Name or path of a preset, or a checkpoint.")
    ],
) -> None:
    """Hold a preset or a trained model against the production checklist, the guide's targets and our gates."""
    from core.evaluation.checklist import make_checklist
    from core.inference import TrainedModel
    from core.training.run import CHECKPOINT_FILE, FINAL_NOTE

    path = Path(what)
    # A name of a preset is one, whatever lies in the working folder; so `load` has it too.
    if path.is_dir() and what not in presets.preset_names():
        path = path / CHECKPOINT_FILE
    if path.suffix == ".pt":
        trained = TrainedModel.load(path)
        lines = make_checklist(trained.config, trained.findings)
        note = (
            "Figures of validation rows, which chose the epoch: optimistic." if trained.findings else FINAL_NOTE + "."
        )
    else:
        chosen = presets.load_preset(what)
        lines = make_checklist(chosen.training_config(size="quick", metric="macro_f1", seed=0), {})
        note = "A preset is a recipe: figures are measured by training it (preset-train), then checking the checkpoint."
    table = Table(title=f"Checklist of {escape(what)}", title_justify="left")
    for heading in ("", "", "value", "should be", "verdict"):
        table.add_column(heading)
    for line in lines:
        colour = VERDICT_COLOURS[line.verdict]
        table.add_row(line.kind, line.name, escape(line.value), escape(line.bound), f"[{colour}]{line.verdict}[/]")
    console.out.print(table)
    console.out.print(note)
    console.out.print("Advice, checks and targets are the guide's and decide nothing; the gates are ours.")
