"""The network: its layers, its predictions of windows, the memory it needs, and the files its weights are kept in.

Nothing is imported here, because torch takes long to load: import `build_model` from `core.models.cnn_lstm`.
"""
