"""Sources of market data: files, a store, an exchange, a feature table, and the embedded synthetic market."""
