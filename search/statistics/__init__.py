"""Computes the statistics of a confirmation, in pure functions over arrays.

Nothing is imported here, because scipy and scikit-learn take long to load: import
`certification_gates` from `search.statistics.certification`, and `resample` from `search.statistics.bootstrap`.
"""
