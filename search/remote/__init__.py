"""Runs campaigns on a cluster from another machine, and fetches their results."""
