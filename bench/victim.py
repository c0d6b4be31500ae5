"""A whole service core in a process of its own, so that it can be killed: `python -m bench.victim`."""

import logging
import os
import sys

import structlog

from bench import core
from db_grants.postgres import PostgresEngine


class _Place:
    """As much of a place as a core needs."""

    database = os.environ.get("BENCH_DATABASE", "")


def main() -> None:
    """Serve until our input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    engine = PostgresEngine(os.environ["BENCH_URL"])
    made = core.Core(_Place(), os.environ["BENCH_STATE"], engine=engine)  # type: ignore[arg-type]
    made.service.start()
    print("ready", flush=True)
    sys.stdin.read()
    made.close()


if __name__ == "__main__":
    main()
