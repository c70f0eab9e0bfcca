"""Runs trainings, on Ray or in this process.

Nothing is imported here, so that whoever runs trainings in this process needs no Ray: import `RayEngine` from
`search.engine.ray_engine`, or `InProcessEngine` from `search.engine.in_process`.
"""
