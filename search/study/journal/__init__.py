"""The journal of a study: its file, the trials that its lines hold, and the backend that Optuna writes it with.

Nothing is imported here, because Optuna takes long to load, and `file` and `records` do without it.
"""
