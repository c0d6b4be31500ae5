"""Fixtures that touch a real PostgreSQL."""
