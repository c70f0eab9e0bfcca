"""`preset-search`: finds hyperparameters, confirms them, and exports them as a preset."""

from __future__ import annotations

import typer

from core import console
from core.cli import data
from core.console import Command, with_verbosity
from search.cli import campaign, cluster, confirm, presets, simulate, study
from search.cli.dispatch import dispatchable

app = typer.Typer(add_completion=False, rich_markup_mode="rich", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Search for the best training hyperparameters with Ray Tune and Optuna, confirm and export them."""


# --help lists the commands in this order.
app.command(cls=Command, epilog=campaign.RUN_EPILOG)(with_verbosity(campaign.run))
app.command(cls=Command, epilog=campaign.RESUME_EPILOG)(dispatchable(long=True)(with_verbosity(campaign.resume)))
app.command(cls=Command, epilog=cluster.STATUS_EPILOG)(dispatchable()(cluster.status))
app.command(cls=Command, epilog=campaign.STOP_EPILOG)(dispatchable()(campaign.stop))
app.command(cls=Command, epilog=confirm.CONFIRM_EPILOG)(dispatchable(long=True)(with_verbosity(confirm.confirm)))
app.command(cls=Command, epilog=presets.EXPORT_EPILOG)(presets.export)
app.command(cls=Command, epilog=confirm.VERIFY_EPILOG)(with_verbosity(confirm.verify))
app.command(cls=Command, epilog=confirm.JUDGE_EPILOG)(with_verbosity(confirm.judge))
app.command(cls=Command, epilog=presets.REGENERATE_EPILOG)(presets.regenerate)
app.command(cls=Command, epilog=study.REPLAY_EPILOG)(study.replay)
app.command(cls=Command, epilog=simulate.SIMULATE_EPILOG)(with_verbosity(simulate.simulate))
app.command(cls=Command, epilog=cluster.LAUNCH_EPILOG)(cluster.launch)
app.command(cls=Command, epilog=cluster.ATTACH_EPILOG)(cluster.attach)
app.command("fetch-results", cls=Command, epilog=cluster.FETCH_EPILOG)(cluster.fetch_results)
app.command("pack-results", cls=Command, hidden=True)(cluster.pack_results)
app.command("install-presets", cls=Command, hidden=True)(cluster.install_presets)
app.add_typer(data.app, name="data")
app.add_typer(presets.presets_app, name="presets")
app.add_typer(study.study_app, name="study")


def main() -> None:
    """Run `preset-search`."""
    console.run(app)
