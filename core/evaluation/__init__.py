"""What a model is worth: metrics, calibration, backtest, baselines, checklist."""
