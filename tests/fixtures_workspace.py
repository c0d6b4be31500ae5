"""Fixtures that run the local workspace."""
