"""Settings of one training: model, loss, augmentation, class balance, trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from core.config.base import Config
from core.config.hyperparameters import BatchSize, Dropout, FocalGamma, LearningRate, MixupAlpha, WeightDecay, Window
from core.errors import ConfigError

ModelSize = Literal["quick", "small", "large"]
LastBarPath = Literal["logistic", "none"]
ForestKind = Literal["extra_trees", "none"]
LossKind = Literal["multi_task", "focal", "label_smoothing", "directional_accuracy"]
Schedule = Literal["warm_restarts", "cosine", "plateau", "constant"]
ClassWeights = Literal["none", "balanced", "sqrt", "effective"]
RankingMetric = Literal["macro_f1", "mcc", "balanced_accuracy", "auc", "direction_auc", "nll", "net_sharpe"]
Device = Literal["auto", "cpu", "cuda"]


class ModelConfig(Config):
    """Settings of the network; see `core.models.cnn_lstm`."""

    size: ModelSize = "quick"
    """quick (about 0.1M parameters), small (about 1M), large (about 4M)."""
    dropout: Dropout = 0.4
    """Probability that an activation is dropped in training."""
    last_bar: LastBarPath = "logistic"
    """logistic (a linear map of the last bar's features is added to the output; it starts as a logistic regression on
    train, and is trained with the rest) or none (networks of earlier versions)."""
    forest: ForestKind = "extra_trees"
    """extra_trees (predictions are blended with those of a forest on the last bar's features, which is fitted on train)
    or none (networks of earlier versions)."""
    window: Window | None = Field(default=None, exclude_if=lambda window: window is None)
    """Number of bars that the network sees, the last ones of each window; all bars of the window if not given."""

    def bars_seen(self, window: int) -> int:
        """Return how many bars the network sees.

        Args:
            window: number of bars in a window of the data.

        Raises:
            ConfigError: a window of the data has fewer bars than the network is to see.
        """
        seen = self.window or window
        if seen > window:
            raise ConfigError(
                f"The network sees {seen} bars, but a window of the data has {window}", f"Use windows of {seen} bars"
            )
        return seen


class LossConfig(Config):
    """Settings of the loss; see `core.training.losses`.

    Each setting says which kinds of loss depend on it; the others refuse it. Class weights (`BalanceConfig`) have an
    effect on all kinds.
    """

    kind: LossKind = Field(default="multi_task", exclude_if=lambda kind: kind == "multi_task")
    """multi_task (the sum of the losses of all heads), or the loss of the direction head alone: focal, label_smoothing
    (cross-entropy on smoothed targets) or directional_accuracy (expected cost of the call). What is written leaves out
    multi_task, as earlier versions knew no other."""
    focal_gamma: FocalGamma = 2.5
    """multi_task, focal: focusing exponent; 0 is cross-entropy."""
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    """multi_task, label_smoothing: probability mass spread evenly over the three classes."""
    direction_weight: float = Field(default=1.0, gt=0.0)
    """multi_task: weight of the direction loss."""
    confidence_weight: float = Field(default=0.5, ge=0.0)
    """multi_task: weight of the confidence loss; 0 leaves that head untrained."""
    return_weight: float = Field(default=0.3, ge=0.0)
    """multi_task: weight of the return loss; 0 leaves that head untrained."""
    opposite_weight: float = Field(default=0.0, ge=0.0)
    """multi_task: weight of the directional accuracy loss, added to the direction loss; 0 switches it off."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_loss_settings(self.kind, self.model_dump())
        return self

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the settings on which this kind of loss does not depend."""
        return UNUSED_BY_LOSS[self.kind]

    @property
    def trains_confidence(self) -> bool:
        """Whether the confidence head is trained; the outputs of a head that is not mean nothing."""
        return self.kind == "multi_task" and self.confidence_weight > 0

    @property
    def trains_return(self) -> bool:
        """Whether the return head is trained; the outputs of a head that is not mean nothing."""
        return self.kind == "multi_task" and self.return_weight > 0


_WEIGHTS = ("direction_weight", "confidence_weight", "return_weight", "opposite_weight")
UNUSED_BY_LOSS: dict[LossKind, tuple[str, ...]] = {
    "multi_task": (),
    "focal": ("label_smoothing", *_WEIGHTS),
    "label_smoothing": ("focal_gamma", *_WEIGHTS),
    "directional_accuracy": ("focal_gamma", "label_smoothing", *_WEIGHTS),
}
"""Settings of the loss on which a kind of loss does not depend."""


def check_loss_settings(kind: LossKind, settings: Mapping[str, Any]) -> None:
    """Refuse settings of the loss, other than their defaults, on which this kind of loss does not depend.

    Args:
        kind: the kind of loss.
        settings: values of some or all of the settings of `LossConfig`, by name.

    Raises:
        ValueError: a setting can have no effect.
    """
    for name in UNUSED_BY_LOSS[kind]:
        default = LossConfig.model_fields[name].default
        if settings.get(name, default) != default:
            raise ValueError(f"{name} has no effect on the {kind} loss: leave it out, or choose another loss")


class AugmentConfig(Config):
    """Settings of the random changes to each training window; see `core.training.augment`."""

    mixup_alpha: MixupAlpha = 0.2
    """Both parameters of mixup's Beta distribution; 0 switches it off."""
    time_mask: float = Field(default=0.1, ge=0.0, le=0.9)
    """Longest masked stretch, as a share of the window; 0 switches it off."""
    noise_std: float = Field(default=0.01, ge=0.0)
    """Standard deviation of Gaussian noise, in units of the scaled features; 0 switches it off."""
    feature_dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Probability that a whole feature of a sample is set to its median, 0; 0 switches it off."""


class BalanceConfig(Config):
    """Settings that compensate unequal class frequencies; see `core.training.class_balance`."""

    class_weights: ClassWeights = "balanced"
    """none, balanced (n / (3 n_k)), sqrt (its square root) or effective (inverse effective number of samples)."""
    oversample: bool = False
    """Draw rows of the rarer classes more often, so that all classes are equally frequent."""
    allow_double: bool = False
    """Allow class weights and oversampling together."""


class TrainerConfig(Config):
    """Settings of the optimisation; see `core.training.trainer`."""

    learning_rate: LearningRate = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: BatchSize = 256
    """Windows per optimizer step."""
    weight_decay: WeightDecay = 0.01
    """Decoupled weight decay of the parameters of two and more dimensions."""
    schedule: Schedule = "warm_restarts"
    """How the learning rate changes over the epochs."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer steps over which the learning rate rises from 0; 0 starts at the full rate."""
    epochs: int = Field(default=150, ge=1)
    """Most epochs to train."""
    epoch_windows: int | None = Field(default=None, ge=1)
    """Most windows that an epoch reads: where train has more, several epochs read all of them once. none reads all of
    them in each epoch."""
    patience: int | None = Field(default=20, ge=1)
    """Epochs without improvement after which training ends; none switches early stopping off."""
    clip_norm: float = Field(default=1.0, gt=0.0)
    """Largest norm of the gradient of all parameters."""
    ema_decay: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Share of the averaged weights that an optimizer step keeps (exponential moving average); the averaged weights are
    evaluated, ranked and saved. 0 uses the weights of the last step themselves."""
    metric: RankingMetric = "macro_f1"
    """Validation metric that chooses the best epoch; higher is better, nll counts negated."""
    deterministic: bool = False
    """Use only operations that are repeatable to the last bit on a GPU; slower. On a CPU all of them are."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of initialisation, batch order, dropout and augmentation."""


class TrainingConfig(Config):
    """All settings of one training except its data."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    balance: BalanceConfig = BalanceConfig()
    trainer: TrainerConfig = TrainerConfig()

    def with_trainer(self, **changes: Any) -> TrainingConfig:
        """Return the same recipe with some settings of the trainer changed.

        Args:
            **changes: new values of the trainer's settings, by name.
        """
        return self.model_copy(update={"trainer": self.trainer.model_copy(update=changes)})

    def as_text(self) -> str:
        """Return the recipe in one line, for an error message."""
        parts = (self.trainer, self.model, self.loss, self.augment)
        return ", ".join(f"{key}={value}" for part in parts for key, value in part.model_dump().items())


def recorded_recipe(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a recorded recipe, with what versions without some settings did in their place.

    Args:
        content: settings by the part of the recipe and their name, as a checkpoint or a campaign holds them.
    """
    earlier: dict[str, dict[str, Any]] = {
        "model": {"last_bar": "none", "forest": "none"},
        "trainer": {"ema_decay": 0.0, "epoch_windows": None},
    }
    return {**content, **{part: {**values, **content[part]} for part, values in earlier.items() if part in content}}
