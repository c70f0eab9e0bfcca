from .quickstart import predict_bars, quick_start_training, setup_optimized_training, train

__all__ = ["__version__", "predict_bars", "quick_start_training", "setup_optimized_training", "train"]

__version__: str
