"""Market data: from recorded bars to the windows that a network trains on.

Nothing is imported here, because commands that only show files must not load pandas: import `load_dataset` from
`core.data.dataset`, and `read_market` from `core.data.sources.reader`.
"""
