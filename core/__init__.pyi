from .quickstart import quick_start_training, setup_optimized_training

__all__ = ["__version__", "quick_start_training", "setup_optimized_training"]

__version__: str
