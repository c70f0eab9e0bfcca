"""Runs campaigns on a cluster from another machine, and fetches their results.

Nothing is imported here, because Ray takes long to load: import `connect` from `search.remote.jobs`.
"""
