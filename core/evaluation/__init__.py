"""Judges a model: metrics, calibration, backtest, baselines, checklist, diagnosis.

Nothing is imported here, because scikit-learn takes long to load: import `evaluate` from `core.evaluation.metrics`, and
`evaluate_rows` from `core.evaluation.report`.
"""
