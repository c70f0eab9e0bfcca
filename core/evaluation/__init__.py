"""Judges a model: metrics, calibration, backtest, baselines, checklist, diagnosis."""
