"""Joins Ray clusters, describes and checks their machines, and divides them among trials."""
