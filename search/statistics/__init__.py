"""Computes the statistics of a confirmation, in pure functions over arrays."""
