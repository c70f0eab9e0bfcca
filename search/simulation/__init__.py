"""Simulates campaigns on known learning curves, in virtual time."""
