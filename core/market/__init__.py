"""Market data: bars, features, labels, and a synthetic market."""
