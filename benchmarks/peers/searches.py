"""The searches that are compared: ours, and those of the libraries that are installed, each with its own defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from benchmarks.peers.campaign import Search
from search.simulation.problem import Problem
from search.simulation.simulate import Fidelity, Strategy


@dataclass(frozen=True)
class Setting:
    """What the search of one campaign is made for.

    Attributes:
        problem: what is trained.
        workers: number of trials that run at a time.
        trainings: how many trainings to the end the budget is worth.
        seed: seed of the search.
        folder: an empty folder, for libraries that write files.
    """

    problem: Problem
    workers: int
    trainings: int
    seed: int
    folder: Path


@dataclass(frozen=True)
class Competitor:
    """A search that is compared.

    Attributes:
        name: its name, in tables.
        make: makes the search of one campaign.
        packages: the libraries that it needs beyond ours, by their import names.
        fidelity: what a step of a trial is: an epoch, or a cell, see `search.simulation.recorded`.
        ranked_by: what ranks trials: the metric, or the loss, which is what a script reports that does not think of it.
    """

    name: str
    make: Callable[[Setting], Search]
    packages: tuple[str, ...] = ()
    fidelity: Fidelity = "epochs"
    ranked_by: Literal["metric", "loss"] = "metric"

    @property
    def is_installed(self) -> bool:
        """Whether the libraries that it needs can be imported."""
        return all(find_spec(package) is not None for package in self.packages)


def _random(setting: Setting) -> Search:
    from benchmarks.peers.ours import RandomSearch

    return RandomSearch(setting.problem, setting.seed)


def _ours(strategy: Strategy) -> Callable[[Setting], Search]:
    def make(setting: Setting) -> Search:
        from benchmarks.peers.ours import ControllerSearch

        return ControllerSearch(setting.problem, strategy, setting.workers, setting.seed)

    return make


def _ray_tune(setting: Setting) -> Search:
    from benchmarks.peers.ray_tune import RayTuneSearch

    return RayTuneSearch(setting.problem, setting.seed)


def _optuna(sampler: Literal["TPESampler", "GPSampler"], pruner: str) -> Callable[[Setting], Search]:
    def make(setting: Setting) -> Search:
        import optuna

        from benchmarks.peers.optuna_study import OptunaSearch

        keywords = {"max_resource": setting.problem.max_epochs} if pruner == "HyperbandPruner" else {}
        return OptunaSearch(
            setting.problem,
            getattr(optuna.samplers, sampler)(seed=setting.seed),
            getattr(optuna.pruners, pruner)(**keywords),
        )

    return make


def _smac(setting: Setting) -> Search:
    from benchmarks.peers.hyperband import SmacSearch

    return SmacSearch(setting.problem, setting.folder, _REQUESTS_PER_TRAINING * setting.trainings, setting.seed)


def _dehb(setting: Setting) -> Search:
    from benchmarks.peers.hyperband import DehbSearch

    return DehbSearch(setting.problem, setting.folder, setting.seed)


def _hebo(setting: Setting) -> Search:
    from benchmarks.peers.hebo_batches import HeboSearch

    return HeboSearch(setting.problem, setting.workers, setting.seed)


def _syne_tune(scheduler: Literal["ASHA", "BOHB", "ASHACQR"]) -> Callable[[Setting], Search]:
    def make(setting: Setting) -> Search:
        from syne_tune.optimizer import baselines

        from benchmarks.peers.syne_tune_schedulers import SyneTuneSearch

        return SyneTuneSearch(setting.problem, getattr(baselines, scheduler), setting.seed)

    return make


_REQUESTS_PER_TRAINING = 4
"""About how many requests of Hyperband, with a factor of 3 from 1 to 52 epochs, cost as much as a whole training."""

DEFAULT = "ours: TPE, ASHA that stops"
"""The search that the others are compared with: the default of a campaign."""

COMPETITORS = (
    Competitor("random, all to the end", _random),
    Competitor(DEFAULT, _ours(Strategy("tpe", "complete"))),
    Competitor("ours: random, ASHA that stops", _ours(Strategy("random", "full_only"))),
    Competitor("ours: TPE, ASHA from epoch 6", _ours(Strategy("tpe", "complete", grace=6))),
    Competitor("ours: TPE, ASHA that promotes", _ours(Strategy("tpe", "pruned", "promotion"))),
    Competitor(
        "ours: TPE, cells", _ours(Strategy("tpe", "pruned", "promotion", grace=1, fidelity="cells")), fidelity="cells"
    ),
    Competitor("Ray Tune: OptunaSearch, ASHA", _ray_tune, ("ray",)),
    Competitor("Ray Tune, ranked by loss", _ray_tune, ("ray",), ranked_by="loss"),
    Competitor("Optuna: TPE, Hyperband", _optuna("TPESampler", "HyperbandPruner")),
    Competitor("Optuna: GP, Hyperband", _optuna("GPSampler", "HyperbandPruner")),
    Competitor("Optuna: TPE, Wilcoxon on cells", _optuna("TPESampler", "WilcoxonPruner"), fidelity="cells"),
    Competitor("Optuna: GP, Wilcoxon on cells", _optuna("GPSampler", "WilcoxonPruner"), fidelity="cells"),
    Competitor("SMAC3: multi-fidelity", _smac, ("smac", "dehb")),
    Competitor("DEHB", _dehb, ("smac", "dehb")),
    Competitor("HEBO", _hebo, ("hebo",)),
    Competitor("Syne Tune: BOHB", _syne_tune("BOHB"), ("syne_tune", "xgboost")),
    Competitor("Syne Tune: CQR, ASHA", _syne_tune("ASHACQR"), ("syne_tune", "xgboost", "huggingface_hub")),
)
