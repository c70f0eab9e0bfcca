"""Runs trainings. This package knows Ray, so its modules are imported where they are used."""
