"""The record against reality, both ways, and what to type about a difference."""
