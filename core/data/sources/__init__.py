"""Sources of market data: files, a store, an exchange, a feature table, and the embedded synthetic market.

Nothing is imported here, because ccxt and pandas take long to load: import `read_market` from
`core.data.sources.reader`, which reads any of the sources.
"""
