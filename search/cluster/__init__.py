"""Joins Ray clusters, describes and checks their machines, and divides them among trials.

Nothing is imported here, because Ray takes long to load: import `join_cluster` from `search.cluster.session`, and
`TrialResources`, which needs no Ray, from `search.cluster.resources`.
"""
