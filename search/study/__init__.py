"""What is proposed, recorded and decided. The only package that knows Optuna."""
