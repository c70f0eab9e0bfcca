"""The network: `hybrid.HybridCNNLSTM`, made of the layers in `layers`."""
