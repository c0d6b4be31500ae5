"""What every test may use; the fixtures live in modules by concern."""

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = [
    "tests.fixtures_core",
    "tests.fixtures_postgres",
    "tests.fixtures_served",
    "tests.fixtures_store",
    "tests.fixtures_workspace",
]


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A command binds the log to its standard error, which is closed when its test is over."""
    yield
    structlog.reset_defaults()
