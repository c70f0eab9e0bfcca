"""Four recipes of docs/extending.md, followed in a copy of the sources: the new part works from end to end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.costly

Edits = dict[str, list[tuple[str, str]]]
"""By file, the texts to replace and what to put in their place; the whole content of a new file replaces nothing."""


def _follow(folder: Path, heading: str, edits: Edits) -> None:
    """Copy the sources, and edit those files that the recipe lists, and no others."""
    for name in ("core", "search"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    guide = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", guide, flags=re.M | re.S)
    for name, replacements in edits.items():
        path = folder / name
        assert f"`{name}`" in recipe or (f"`{Path(name).parent}/`" in recipe and not path.exists()), name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for before, after in replacements:
            assert not before or text.count(before) == 1, (name, before)
            text = text.replace(before, after) if before else after
        path.write_text(text, encoding="utf-8")


def _run(folder: Path, program: str) -> None:
    """Run a program with the edited sources; the helpers of the tests come from the repository."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


HYPERPARAMETER: Edits = {
    "core/config/training.py": [
        ("import BatchSize, Dropout", "import BatchSize, ClipNorm, Dropout"),
        ("clip_norm: float = Field(default=1.0, gt=0.0)", "clip_norm: ClipNorm = 1.0"),
    ],
    "core/config/hyperparameters.py": [
        (
            "\n\nclass Hyperparameters",
            "ClipNorm = Annotated[float, Field(gt=0.0, le=100.0)]\n\n\nclass Hyperparameters",
        ),
        ("    def apply", '    clip_norm: ClipNorm\n    """Largest norm of the gradient."""\n\n    def apply'),
        ('"weight_decay")}', '"weight_decay", "clip_norm")}'),
    ],
    "core/presets/schema.py": [("SCHEMA_VERSION = 4", "SCHEMA_VERSION = 5")],
    "core/presets/library.py": [
        (
            "    return content\n\n\ndef _migrate_provenance",
            '    if content["schema_version"] == 4:\n'
            '        hyperparameters = {**content.get("hyperparameters", {}), "clip_norm": 1.0}\n'
            '        content = {**content, "schema_version": 5, "hyperparameters": hyperparameters}\n'
            "    return content\n\n\ndef _migrate_provenance",
        )
    ],
    "search/study/space.py": [
        (
            "    mixup_alpha: Range = Range(low=0.0, high=0.5)\n",
            "    mixup_alpha: Range = Range(low=0.0, high=0.5)\n"
            "    clip_norm: Range = Range(low=0.1, high=10.0, log=True)\n",
        )
    ],
    "search/campaign/short_params.py": [
        ('("mixup", ".2f"),\n', '("mixup", ".2f"),\n    "clip_norm": ("clip", ".2f"),\n'),
    ],
    "search/results/folder.py": [
        (
            ".reindex(columns=list(TRIAL_TYPES)).astype(TRIAL_TYPES)",
            '.reindex(columns=list(TRIAL_TYPES)).fillna({"clip_norm": 1.0}).astype(TRIAL_TYPES)',
        )
    ],
}


def test_a_new_hyperparameter_is_searched_recorded_and_exported(tmp_path: Path) -> None:
    _follow(tmp_path, "A hyperparameter", HYPERPARAMETER)
    _run(
        tmp_path,
        """
import sys
from pathlib import Path

from core import presets
from core.config import HYPERPARAMETER_NAMES
from search.campaign.progress import _format_ended
from search.results import CampaignFolder, make_preset
from search.study import SpaceConfig
from tests.helpers.campaigns import make_searched_campaign

assert Path(presets.__file__).is_relative_to(Path.cwd())
assert HYPERPARAMETER_NAMES[-1] == "clip_norm"
for name in presets.shipped_preset_names():
    preset = presets.load_preset(name)  # of the layout before
    assert preset.hyperparameters.clip_norm == 1.0
    (presets.SHIPPED / f"{name}.yaml").write_text(presets.preset_yaml(preset))
    assert presets.load_preset(name) == preset

folder = CampaignFolder(make_searched_campaign(Path("results")))
trials = folder.read_journal()
values = [trial.params["clip_norm"] for trial in trials]
assert len(set(values)) == len(trials) == 3
assert all(SpaceConfig().clip_norm.contains(value) for value in values)
assert f"clip {values[0]:.2f}" in _format_ended(trials[0])
assert folder.read_trials()["clip_norm"].tolist() == values

preset = make_preset(folder, "mine")
assert preset.hyperparameters.clip_norm == values[preset.provenance.trial]
text = presets.save_preset(preset).read_text()
comment = "  # Largest norm of the gradient. [above 0, at most 100]"
assert f"{comment}\\n  clip_norm: {preset.hyperparameters.clip_norm}" in text
assert presets.load_preset("mine") == preset
recipe = preset.training_config(size="quick", metric="macro_f1", seed=0)
assert recipe.trainer.clip_norm == preset.hyperparameters.clip_norm

earlier = CampaignFolder.find(Path(sys.argv[1]) / "results", "btc-eth-5m-30d")
assert set(earlier.read_trials()["clip_norm"]) == {1.0}
assert make_preset(earlier, "again").hyperparameters.clip_norm == 1.0
""",
    )


METRIC: Edits = {
    "core/evaluation/metric_names.py": [('    "top_share",\n', '    "top_share",\n    "buy_precision",\n')],
    "core/evaluation/metrics.py": [
        (
            "\n\nMETRICS: ",
            "\n\ndef buy_precision(labels, calls):\n"
            "    called = calls == BUY\n"
            '    return float(np.mean(labels[called] == BUY)) if called.any() else float("nan")\n\n\nMETRICS: ',
        ),
        (
            '    "top_share": lambda',
            '    "buy_precision": lambda labels, _, decisions: buy_precision(labels, decisions.calls),\n'
            '    "top_share": lambda',
        ),
    ],
    "core/config/training.py": [('"nll", "net_sharpe"]', '"nll", "net_sharpe", "buy_precision"]')],
    "search/statistics/weighted_metrics.py": [
        (
            "\n\nSCORES: ",
            "\n\ndef _buy_precision(predictions, positions, weights):\n"
            "    counts = _confusion(predictions, positions, weights)\n"
            "    return ratio(counts[:, 2, 2], counts[:, :, 2].sum(axis=1), np.nan)\n\n\nSCORES: ",
        ),
        ('    "net_sharpe": _net_sharpe,\n', '    "net_sharpe": _net_sharpe,\n    "buy_precision": _buy_precision,\n'),
    ],
}


def test_a_new_metric_ranks_trials_and_is_confirmed(tmp_path: Path) -> None:
    _follow(tmp_path, "A metric", METRIC)
    _run(
        tmp_path,
        """
import sys
from pathlib import Path

import numpy as np

from search import CampaignFolder, make_preset, plan_confirmation, run_confirmation
from search.engine import InProcessEngine
from search.statistics import Predictions, unweighted_score
from core.evaluation import metrics
from tests.helpers import campaigns
from tests.helpers.predictions import random_predictions

model = random_predictions(300, skill=0.5, seed=1)
assert unweighted_score("buy_precision", model) == metrics.buy_precision(model.labels, model.calls)

present = campaigns.config
campaigns.config = lambda data: present(data).model_copy(update={"metric": "buy_precision"})
folder = CampaignFolder(campaigns.make_searched_campaign(Path("results")))
curves, trials = folder.read_curves(), folder.read_trials()
assert curves["val_buy_precision"].notna().any()
np.testing.assert_array_equal(curves["score"], curves["val_buy_precision"])
np.testing.assert_array_equal(trials["value"], trials["val_buy_precision"])

plan = plan_confirmation(folder.name, Path("results"), {"top": 1, "seeds": 1, "folds": 1})
verdict = run_confirmation(plan, InProcessEngine())
assert verdict.ranking_metric == verdict.lead.metric == "buy_precision"
assert "buy_precision" in verdict.winner.out_of_fold
assert "buy_precision" in verdict.final.val
assert make_preset(folder, "mine").provenance.ranking_metric == "buy_precision"

earlier = CampaignFolder.find(Path(sys.argv[1]) / "results", "btc-eth-5m-30d")
assert earlier.read_trials()["val_buy_precision"].isna().all()
make_preset(earlier, "again")
""",
    )


LABEL: Edits = {
    "core/config/data.py": [
        (
            'LabelKind = Literal["quantile", "fixed", "triple_barrier"]',
            'LabelKind = Literal["quantile", "fixed", "triple_barrier", "sign"]',
        )
    ],
    "core/data/labels.py": [
        (
            "def triple_barrier(",
            "def sign(scores: np.ndarray) -> np.ndarray:\n"
            "    kinds = [np.isnan(scores), scores < 0, scores > 0]\n"
            "    return np.select(kinds, [NO_LABEL, SELL, BUY], HOLD).astype(np.int8)\n\n\ndef triple_barrier(",
        )
    ],
    "core/data/market.py": [
        ("forward_returns, triple_barrier", "forward_returns, sign, triple_barrier"),
        (
            '        case "triple_barrier":\n',
            '        case "sign":\n            return sign(scores)\n        case "triple_barrier":\n',
        ),
    ],
}


def test_a_new_label_is_trained_on_and_predicted(tmp_path: Path) -> None:
    _follow(tmp_path, "A label", LABEL)
    _run(
        tmp_path,
        """
from pathlib import Path

import numpy as np
import torch

from core.config import DataConfig, LabelConfig, SyntheticConfig
from core.data import BUY, NO_LABEL, SELL, load_dataset, read_market
from core.data.labels import forward_returns
from core.inference import TrainedModel
from core.training import train_model
from tests.helpers.market import recipe

config = DataConfig(synthetic=SyntheticConfig(bars=5000), labels=LabelConfig(kind="sign"))
dataset = load_dataset(config)
returns = forward_returns(np.exp(dataset.log_prices), config.horizon)
known = ~np.isnan(returns)
assert np.array_equal(dataset.labels[known], np.where(returns[known] > 0, BUY, SELL))
assert (dataset.labels[~known] == NO_LABEL).all()
for rows, border in ((dataset.train, dataset.borders.train), (dataset.val, dataset.borders.val)):
    assert (dataset.timestamps[rows] + config.horizon * dataset.bar < border[1]).all()

train_model(recipe(epochs=1), config, dataset, Path("out"), device="cpu")
model = TrainedModel.load(Path("out/checkpoint.pt"))
assert model.data.labels.kind == "sign"
calls = model.predict(read_market(config, labelled=False), torch.device("cpu"))
assert set(calls["call"]) <= {"SELL", "BUY", "HOLD"}
assert not calls[["sell", "hold", "buy"]].isna().any(axis=None)
""",
    )


MODEL: Edits = {
    "core/models/last_bar.py": [
        (
            "",
            '''"""The smallest network: a linear map of the last bar."""

from torch import nn

from core.models.layers import Dropout
from core.models.network import Network, Prediction


class LastBarNetwork(Network):
    def __init__(self, config, features, window, generator):
        super().__init__()
        self.dropout = Dropout(config.dropout, generator)
        self.heads = nn.Linear(features, 5)

    def forward(self, windows):
        heads = self.heads(self.dropout(windows[:, -1]))
        return Prediction(heads[:, :3], heads[:, 3], heads[:, 4])
''',
        )
    ],
    "core/config/training.py": [
        (
            "    size: ModelSize =",
            '    network: Literal["cnn_lstm", "last_bar"] = "cnn_lstm"\n    """Kind."""\n    size: ModelSize =',
        )
    ],
    "core/models/build.py": [
        (
            "from core.models.network import Network\n",
            "from core.models.last_bar import LastBarNetwork\nfrom core.models.network import Network\n",
        ),
        (
            "model = HybridCNNLSTM(config,",
            'model = (LastBarNetwork if config.network == "last_bar" else HybridCNNLSTM)(config,',
        ),
    ],
}


def test_a_new_network_trains_resumes_and_predicts(tmp_path: Path) -> None:
    _follow(tmp_path, "A model", MODEL)
    _run(
        tmp_path,
        """
from pathlib import Path

import torch

from core.config import DataConfig, ModelConfig, SyntheticConfig
from core.data import load_dataset, read_market
from core.inference import TrainedModel
from core.models import estimate_memory
from core.training import Trainer, train_model
from tests.helpers.market import recipe

config = DataConfig(synthetic=SyntheticConfig(bars=5000))
dataset = load_dataset(config)
own = recipe(epochs=3).model_copy(update={"model": ModelConfig(network="last_bar", dropout=0.3)})
cpu = torch.device("cpu")
assert estimate_memory(own.model, 5, 16, 64).total < estimate_memory(ModelConfig(), 5, 16, 64).total

whole, first, second = (Trainer(own, dataset, cpu) for _ in range(3))
assert type(whole.model).__name__ == "LastBarNetwork"
losses = [result.train_loss for result in whole]
assert [first.run_epoch().train_loss, first.run_epoch().train_loss] == losses[:2]
second.load_state_dict(first.state_dict())
assert second.run_epoch().train_loss == losses[2]

train_model(own, config, dataset, Path("own"), device="cpu")
model = TrainedModel.load(Path("own/checkpoint.pt"))
assert model.config.model.network == "last_bar"
assert len(model.predict(read_market(config, labelled=False), cpu)) > 0
""",
    )
