"""Runs commands on a cluster from another machine, and brings results back."""
