"""The recipes of docs/extending.md, followed: what they say is enough, and they list every place there is."""

from __future__ import annotations

import ast
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
import torch
from pyarrow import fs

from core import presets
from core.config import HYPERPARAMETER_NAMES, DataConfig, LabelConfig, ModelConfig, RankingMetric, SyntheticConfig
from core.config.data import LabelKind
from core.data import dataset as dataset_module
from core.data import labels, market
from core.data.dataset import Dataset, load_dataset
from core.data.features import Feature, registry
from core.data.labels import BUY, HOLD, NO_LABEL, SELL
from core.evaluation import metrics
from core.evaluation.decision import Decisions
from core.models import cnn_lstm
from core.models.build import build_model
from core.models.cnn_lstm import Dimensions
from core.models.memory import estimate_memory
from core.models.network import count_parameters
from core.training.trainer import Trainer
from search.confirmation import certify
from search.confirmation.plan import plan_confirmation
from search.confirmation.run import run_confirmation
from search.engine.in_process import InProcessEngine
from search.engine.protocol import Engine
from search.engine.trial_training import TrialTraining
from search.results import CampaignFolder
from search.statistics import weighted_metrics
from search.statistics.certification import Gate
from search.statistics.weighted_metrics import Predictions, score, unweighted_score
from search.storage import filesystem, location
from search.storage.filesystem import Storage
from search.study import proposals, samplers, study
from search.study.trial_record import TrialRecord
from tests.contracts.engine import EngineContract, small_dataset
from tests.contracts.test_study import StudyContract
from tests.core.data.features import test_registry as feature_contract
from tests.helpers.campaigns import NAME, make_searched_campaign
from tests.helpers.market import bars, cut, joined, market_config, part, recipe
from tests.helpers.predictions import most_probable, random_predictions
from tests.search.storage import test_filesystem as storage_contract

__all__ = ["small_dataset"]

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
pytestmark = pytest.mark.costly


def _recipe(heading: str) -> str:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    return str(section)


def _listed_files(heading: str) -> set[str]:
    """Return the source files that a recipe names."""
    return set(re.findall(r"`((?:core|search)/[\w/]+\.py)`", _recipe(heading)))


def _files_that_name(word: str) -> set[str]:
    """Return the source files whose code has a word as a name or as a whole string; docstrings are not looked into."""
    files = set()
    for path in [*(ROOT / "core").rglob("*.py"), *(ROOT / "search").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if word in [getattr(node, name, None) for name in ("id", "attr", "arg", "name", "value")]:
                files.add(str(path.relative_to(ROOT)))
    return files


# A feature


def _second_return(columns: market.Columns) -> np.ndarray:
    close = np.log(columns["close"])
    return np.append(np.zeros(2), close[2:] - close[:-2])


NEW_FEATURE = Feature("return_2", "log return over 2 bars", "log(c[t] / c[t-2])", 2, _second_return, ("close",))


def test_a_new_feature_is_a_column_of_every_dataset_that_has_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(synthetic=SyntheticConfig(bars=4500))
    before = load_dataset(config)
    monkeypatch.setattr(registry, "FEATURES", (*registry.FEATURES, NEW_FEATURE))
    after = load_dataset(config)
    assert after.feature_names == (*before.feature_names, "return_2")
    raw = after.features[:, -1] * after.scale[0, -1] + after.center[0, -1]
    inside = np.abs(after.features[:, -1]) < dataset_module.CLIP
    inside[: feature_contract.WARMUP] = False
    expected = _second_return({"close": np.exp(after.log_prices)})
    np.testing.assert_allclose(raw[inside], expected[inside], atol=1e-6)


def test_a_new_feature_is_held_to_the_contract() -> None:
    columns = bars(300)
    changed = joined(part(columns, 0, 200), part(bars(300, seed=1), 200))
    feature_contract._assert_causal(columns, changed, 199, [NEW_FEATURE])
    feature_contract._assert_equal_after_warmup(part(columns, 50), columns, [NEW_FEATURE])
    peeking = replace(NEW_FEATURE, compute=lambda columns: np.append(np.diff(np.log(columns["close"])), 0.0))
    with pytest.raises(AssertionError):
        feature_contract._assert_causal(columns, changed, 199, [peeking])
    forgetful = replace(NEW_FEATURE, warmup=0)
    with pytest.raises(AssertionError):
        feature_contract._assert_equal_after_warmup(part(columns, 50), columns, [forgetful])


# A label


def _sign_labels(columns: market.Columns, scores: np.ndarray, config: DataConfig) -> np.ndarray:
    return np.select([np.isnan(scores), scores < 0, scores > 0], [NO_LABEL, SELL, BUY], HOLD).astype(np.int8)


def test_a_new_label_is_what_the_market_says_it_is_and_is_purged_at_every_border(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market, "unfitted_labels", _sign_labels)
    config = DataConfig(synthetic=SyntheticConfig(bars=4500))
    made = load_dataset(config)
    returns = labels.forward_returns(np.exp(made.log_prices), config.horizon)
    known = ~np.isnan(returns)
    assert np.array_equal(made.labels[known], np.where(returns[known] > 0, BUY, SELL))
    assert (made.labels[~known] == NO_LABEL).all()
    for rows, border in ((made.train, made.borders.train), (made.val, made.borders.val)):
        assert (made.timestamps[rows] + config.horizon * made.bar < border[1]).all()


def test_the_kinds_of_labels_stand_where_the_recipe_says() -> None:
    assert _files_that_name("triple_barrier") <= _listed_files("A label")
    close = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 300)))
    for kind in get_args(LabelKind):
        config = DataConfig(synthetic=SyntheticConfig(), labels=LabelConfig(kind=kind))
        columns = {"close": close, "high": close, "low": close}
        made = market.unfitted_labels(columns, labels.forward_returns(close, config.horizon), config)
        assert (made is None) == (kind == "quantile")
        if made is not None:
            assert made.dtype == np.int8
            assert (made[-config.horizon :] == NO_LABEL).all()
            assert set(made.tolist()) == {NO_LABEL, SELL, HOLD, BUY}


# A metric


def _buy_precision(truth: np.ndarray, _: np.ndarray, decisions: Decisions) -> float:
    calls = decisions.calls
    return float(np.mean(truth[calls == BUY] == BUY)) if (calls == BUY).any() else float("nan")


def _weighted_buy_precision(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    calls = predictions.calls == BUY
    by_instant = [
        np.bincount(positions, weights=values, minlength=weights.shape[1])
        for values in (calls & (predictions.labels == BUY), calls)
    ]
    right, called = (weights @ values for values in by_instant)
    return weighted_metrics.ratio(right, called, np.nan)


def test_a_new_metric_is_computed_on_rows_and_under_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.METRICS, "buy_precision", _buy_precision)
    monkeypatch.setitem(weighted_metrics.SCORES, "buy_precision", _weighted_buy_precision)
    new: Any = "buy_precision"
    model = random_predictions(200, skill=0.5, seed=1)
    scores = metrics.evaluate(model.labels, model.probabilities, most_probable(model.probabilities), ["accuracy", new])
    assert list(scores) == ["accuracy", "buy_precision"]
    assert metrics.ranking_score(scores, new) == scores[new] == pytest.approx(unweighted_score(new, model))
    instants = np.unique(model.instants)
    assert score(new, model, instants, np.full((1, len(instants)), 2.0))[0] == pytest.approx(scores[new])


def test_the_metrics_stand_where_the_recipe_says() -> None:
    assert set(get_args(RankingMetric)) == set(weighted_metrics.SCORES)
    assert set(metrics.METRICS) == set(metrics.PREDICTION_METRICS)
    assert _files_that_name("mcc") <= _listed_files("A metric")


# A model


def test_a_new_size_is_built_estimated_and_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cnn_lstm.DIMENSIONS, "tiny", Dimensions(channels=16, strides=(2,), hidden=8))  # type: ignore[misc]
    config: Any = ModelConfig.model_construct(size="tiny", dropout=0.1)
    assert count_parameters(build_model(config, 5, 16, 0, CPU)) < count_parameters(
        build_model(ModelConfig(), 5, 16, 0, CPU)
    )
    assert 0 < estimate_memory(config, 5, 16, 64).total < estimate_memory(ModelConfig(), 5, 16, 64).total
    made = cut(load_dataset(market_config()), 128)
    trainer = Trainer(recipe().model_copy(update={"model": config}), made, CPU)
    assert trainer.run_epoch().metrics.keys() == set(metrics.PREDICTION_METRICS) | {"net_sharpe"}


def test_sizes_and_networks_are_chosen_where_the_recipe_says() -> None:
    assert _files_that_name("large") | _files_that_name("default_size") >= {
        "core/config/training.py",
        "core/models/cnn_lstm.py",
        "core/models/memory.py",
    }
    assert _files_that_name("large") | _files_that_name("build_model") <= _listed_files("A model")
    assert _files_that_name("HybridCNNLSTM") <= _listed_files("A model")
    for path in ("core/cli/train.py", "search/cli/options.py"):
        assert "quick, small or large" in (ROOT / path).read_text(encoding="utf-8")


# A hyperparameter


def test_a_hyperparameter_stands_in_the_files_that_the_recipe_lists_and_in_no_others() -> None:
    listed = _listed_files("A hyperparameter")
    declared = {
        "core/config/training.py",
        "core/config/hyperparameters.py",
        "search/study/space.py",
        "search/campaign/short_params.py",
    }
    used = {
        "focal_gamma": {"core/training/losses.py", "core/evaluation/checklist.py"},
        "mixup_alpha": {"core/training/augment.py"},
    }
    for name, files in used.items():
        assert _files_that_name(name) == declared | files
        assert declared | files <= listed
    for name in HYPERPARAMETER_NAMES:
        assert declared <= _files_that_name(name), name
    for preset in presets.shipped_preset_names():
        text = (ROOT / "core" / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")
        assert all(f"  {name}: " in text for name in HYPERPARAMETER_NAMES), preset


# A sampler


class TestANewSampler(StudyContract):
    """An own sampler, held to the contract of all: TPE that looks at each hyperparameter by itself."""

    sampler: Any = "univariate"
    policy = "complete"

    @pytest.fixture(autouse=True)
    def _register(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def make_sampler(kind: str, seed: int, number: int = 0) -> optuna.samplers.BaseSampler:
            assert kind == "univariate"
            own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            return optuna.samplers.TPESampler(n_startup_trials=4, multivariate=False, seed=own_seed)

        monkeypatch.setattr(proposals, "make_sampler", make_sampler)
        monkeypatch.setattr(study, "sampler_keywords", lambda kind: {"n_startup_trials": 4, "multivariate": False})


def test_samplers_are_made_where_the_recipe_says() -> None:
    assert (
        _files_that_name("gp") == {"search/study/settings.py", "search/study/samplers.py"} <= _listed_files("A sampler")
    )
    users = _files_that_name("make_sampler")
    assert users == {"search/study/samplers.py", "search/study/proposals.py"}
    assert samplers.make_sampler.__module__ == "search.study.samplers"


# A storage


@pytest.fixture
def new_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A storage behind a scheme that is not among the present ones: fsspec's memory."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setitem(location.URI_OPTIONS, "memory", ())
    opened = filesystem.open_file_system

    def open_memory(place: str) -> tuple[fs.FileSystem, str]:
        if not place.startswith("memory://"):
            return opened(place)
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory"))), place.removeprefix("memory:/")

    monkeypatch.setattr(filesystem, "open_file_system", open_memory)
    yield Storage(location.resolve_location("memory://bucket/campaigns/"))
    fsspec.filesystem("memory").store.clear()


def test_a_new_storage_keeps_the_contract(new_storage: Storage) -> None:
    assert new_storage.location == "memory://bucket/campaigns"
    storage_contract.test_a_written_file_is_read_listed_and_removed(new_storage)
    new_storage.write("file", b"here")
    assert pickle.loads(pickle.dumps(new_storage)).read("file") == b"here"
    token = new_storage.claim()
    assert new_storage.owner() == token
    assert new_storage.list_files() == ["70/1/2.pt", "file"]


def test_storages_are_opened_where_the_recipe_says() -> None:
    assert _files_that_name("URI_OPTIONS") == {"search/storage/location.py"} <= _listed_files("A storage")
    assert (
        _files_that_name("GcsFileSystem") | _files_that_name("S3FileSystem")
        == {"search/storage/filesystem.py"}
        <= _listed_files("A storage")
    )


# A gate


@pytest.fixture(scope="module")
def searched_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("gate") / "results").parent


@pytest.mark.parametrize("passed", [True, False])
def test_a_new_gate_decides_and_is_in_the_verdict(
    searched_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool
) -> None:
    root = tmp_path / "results"
    shutil.copytree(searched_root, root)
    present: Callable[..., list[Gate]] = certify.certification_gates

    def with_new_gate(*args: Any, **evidence: Any) -> list[Gate]:
        gates = [replace(gate, passed=True) for gate in present(*args, **evidence)]
        return [*gates, Gate("an own figure", 0.25, "> 0", passed)]

    monkeypatch.setattr(certify, "certification_gates", with_new_gate)
    run_confirmation(plan_confirmation(NAME, root, {"top": 1, "seeds": 1, "folds": 1}), InProcessEngine())
    verdict = CampaignFolder(root / NAME).read_verdict()
    assert verdict is not None
    assert verdict.status == ("certified" if passed else "not certified")
    last = verdict.gates[-1]
    assert (last.name, last.value, last.bound, last.verdict) == (
        "an own figure", 0.25, "> 0", "pass" if passed else "fail",
    )  # fmt: skip
    assert verdict.failed_gates == (() if passed else ("an own figure",))


def test_gates_are_listed_where_the_recipe_says() -> None:
    users = _files_that_name("certification_gates") - {"search/statistics/__init__.py"}  # which lists its own face
    assert users == {"search/statistics/certification.py", "search/confirmation/certify.py"} <= _listed_files("A gate")


# An engine


class OneTrialAtATimeEngine(InProcessEngine):
    """Runs each trial to its end before it begins the next."""

    def run_trials(
        self, job: Any, dataset: Dataset, controller: Any, scratch: Path, on_step: Any, starting: int
    ) -> None:
        while isinstance(trial := controller.next_trial(), TrialRecord):
            training = TrialTraining(job, dataset, trial.assignment)
            while controller.on_report(trial.number, training.step()) == "continue":
                on_step()
            controller.on_released(trial.number, trial.attempt_id)


class TestANewEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return OneTrialAtATimeEngine()


def test_engines_are_chosen_where_the_recipe_says() -> None:
    users = _files_that_name("RayEngine")
    assert users == {"search/engine/ray_engine.py", "search/cli/campaign.py", "search/cli/confirm.py"}
    assert users - {"search/engine/ray_engine.py"} <= _listed_files("An engine")
