"""The network: its layers, its predictions of windows, the memory it needs, and the files its weights are kept in."""
