from .build import build_model
from .checkpoint import load_checkpoint, save_checkpoint
from .cnn_lstm import HybridCNNLSTM
from .memory import MemoryEstimate, default_size, estimate_memory
from .network import Network, Prediction, count_parameters
from .windows import gather_windows, predict_windows

__all__ = [
    "HybridCNNLSTM",
    "MemoryEstimate",
    "Network",
    "Prediction",
    "build_model",
    "count_parameters",
    "default_size",
    "estimate_memory",
    "gather_windows",
    "load_checkpoint",
    "predict_windows",
    "save_checkpoint",
]
