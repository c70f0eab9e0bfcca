"""`preset-search`: finds hyperparameters, confirms them, and exports them as a preset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from core import console
from core.cli import data
from core.console import Command, with_verbosity
from search.cli import campaign, cluster, confirm, explore, presets, report, simulate, study, watch
from search.cli.dispatch import dispatchable

DAY = ("Data", "Run", "Watch", "Understand", "Confirm", "Export", "Cluster")
"""The groups of commands in `--help`, in the order in which a person needs them."""
DATA, RUN, WATCH, UNDERSTAND, CONFIRM, EXPORT, CLUSTER = DAY


class _DayGroup(TyperGroup):
    """Lists the groups of commands in the order of `DAY`; Typer would list those that have further commands last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands; hidden ones, which have no group, come last."""
        panels = {name: getattr(command, "rich_help_panel", None) for name, command in self.commands.items()}
        return sorted(panels, key=lambda name: DAY.index(panels[name]) if panels[name] in DAY else len(DAY))


app = typer.Typer(cls=_DayGroup, rich_markup_mode="rich", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Search for the best training hyperparameters with Ray Tune and Optuna, confirm and export them."""


def _add(group: str, epilog: str, command: Callable[..., None], name: str | None = None) -> None:
    app.command(name, cls=Command, epilog=epilog, rich_help_panel=group)(command)


# --help lists groups and commands in this order.
app.add_typer(data.app, name="data", rich_help_panel=DATA)
_add(RUN, campaign.RUN_EPILOG, with_verbosity(campaign.run))
_add(RUN, campaign.RESUME_EPILOG, dispatchable(long=True)(with_verbosity(campaign.resume)))
_add(RUN, campaign.STOP_EPILOG, dispatchable()(campaign.stop))
_add(RUN, simulate.SIMULATE_EPILOG, with_verbosity(simulate.simulate))
_add(WATCH, cluster.STATUS_EPILOG, dispatchable()(cluster.status))
_add(WATCH, watch.WATCH_EPILOG, dispatchable()(watch.watch))
_add(WATCH, explore.CAMPAIGNS_EPILOG, explore.campaigns)
app.add_typer(explore.trials_app, name="trials", rich_help_panel=UNDERSTAND)
_add(UNDERSTAND, explore.COMPARE_EPILOG, explore.compare)
_add(UNDERSTAND, report.REPORT_EPILOG, report.report)
_add(UNDERSTAND, study.REPLAY_EPILOG, study.replay)
app.add_typer(study.study_app, name="study", rich_help_panel=UNDERSTAND)
_add(CONFIRM, confirm.CONFIRM_EPILOG, dispatchable(long=True)(with_verbosity(confirm.confirm)))
_add(CONFIRM, confirm.VERIFY_EPILOG, with_verbosity(confirm.verify))
_add(CONFIRM, confirm.JUDGE_EPILOG, with_verbosity(confirm.judge))
_add(EXPORT, presets.EXPORT_EPILOG, presets.export)
_add(EXPORT, presets.REGENERATE_EPILOG, presets.regenerate)
app.add_typer(presets.presets_app, name="presets", rich_help_panel=EXPORT)
_add(CLUSTER, cluster.LAUNCH_EPILOG, cluster.launch)
_add(CLUSTER, cluster.ATTACH_EPILOG, cluster.attach)
_add(CLUSTER, cluster.FETCH_EPILOG, cluster.fetch_results, "fetch-results")
app.command("pack-results", cls=Command, hidden=True)(cluster.pack_results)
app.command("install-presets", cls=Command, hidden=True)(cluster.install_presets)


def main() -> None:
    """Run `preset-search`."""
    console.run(app)
