"""What a start does not wait for."""

import subprocess
import sys

import pytest

_SERVE = "import bot.app, bot.slack, bot.service, bot.cli.serve"


@pytest.mark.parametrize(
    ("library", "why"),
    [
        ("alembic", "there is mostly nothing to migrate"),
        ("mako", "there is mostly nothing to migrate"),
        ("rich", "its tracebacks show the values of local variables, which may be secret"),
        ("sqlalchemy.dialects.postgresql", "the record may be on SQLite"),
        ("sqlalchemy.orm", "rows are read without it"),
        ("bot.demo", "that is another command"),
    ],
)
def test_a_start_does_not_import(library: str, why: str) -> None:
    found = _python(f"{_SERVE}; import sys; print({library!r} in sys.modules)")
    assert found == "False", why


def test_a_command_imports_no_other() -> None:
    run = "from bot import cli; assert cli.run(['init', '--help']) == 0"
    others = "{'bot.cli.serve', 'bot.cli.check', 'bot.cli.catalog', 'bot.app', 'sqlalchemy'}"
    assert _python(f"{run}; import sys; print({others} & {{*sys.modules}})").endswith("set()")


def test_help_looks_into_no_record() -> None:
    run = "from bot import cli; assert cli.run(['--help']) == 0"
    others = "{'bot.app', 'sqlalchemy', 'psycopg', 'slack_bolt', 'alembic', 'apscheduler'}"
    assert _python(f"{run}; import sys; print({others} & {{*sys.modules}})").endswith("set()")


def test_rich_can_be_imported_by_others_all_the_same() -> None:
    assert _python("import bot; import rich; print(rich.__name__)") == "rich"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
