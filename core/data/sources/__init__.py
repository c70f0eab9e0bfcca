"""Where market data come from: files, a store, an exchange, a feature table, a synthetic market."""
