"""What every test may use; the fixtures live in modules by concern."""

pytest_plugins = [
    "tests.fixtures_core",
    "tests.fixtures_postgres",
    "tests.fixtures_store",
    "tests.fixtures_workspace",
]
