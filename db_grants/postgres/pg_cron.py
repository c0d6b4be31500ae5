"""The job that ends overdue access inside the server, for servers that have pg_cron.

It shuts doors, takes privileges and cuts sessions; it needs neither the bot nor a network. Removing
what is left takes more (prepared transactions, other databases, proof) and stays with the bot and
`db_grants.sweep`. https://github.com/citusdata/pg_cron
"""

from db_grants.postgres import queries


def script() -> str:
    """SQL for a superuser, to be run after what `bootstrap` prints. Twice is the same as once."""
    return queries.query("pg_cron").as_string(None) + "\n"
