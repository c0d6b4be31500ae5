"""Temporary, scoped roles on PostgreSQL 15 and newer, by a bot that is no superuser."""

from db_grants.postgres.engine import PostgresEngine

__all__ = ["PostgresEngine"]
