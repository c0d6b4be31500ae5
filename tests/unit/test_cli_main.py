"""How the command ends: one sentence for a mistake, a reference for a bug, and an exit code."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from bot import cli, errors
from bot.cli import demo, init

ROOT = pathlib.Path(__file__).parents[2]


def end(monkeypatch, capsys, error):
    def fail(_folder):
        raise error

    monkeypatch.setattr(init, "_write", None)
    monkeypatch.setattr(init.Path, "exists", fail)
    code = cli.run(["init"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("Say it."), 2),
        (errors.NotFound("Say it."), 3),
        (errors.TooLate("Say it."), 1),
        (errors.Busy("Say it."), 1),
    ],
)
def test_a_mistake_is_one_sentence(monkeypatch, capsys, error, code):
    assert end(monkeypatch, capsys, error) == (code, "Say it.\n")


def test_a_bug_gives_a_traceback_and_a_reference(monkeypatch, capsys):
    code, said = end(monkeypatch, capsys, ZeroDivisionError("odd"))
    assert code == 70
    assert "Traceback" in said
    assert re.search(r"Reference [0-9A-F]{4}-[0-9A-F]{2}\.$", said.strip())


@pytest.mark.parametrize(
    "arguments", [["nope"], ["list", "--odd"], ["shorten", "abc"], ["demo", "--port", "70000"]]
)
def test_a_wrong_command_line_exits_2(capsys, arguments):
    assert cli.run(arguments) == 2
    assert "Usage: jit" in capsys.readouterr().err


def test_a_file_of_settings_that_is_named_must_be_there(capsys):
    assert cli.run(["--env-file", "absent.env", "list"]) == 2
    assert capsys.readouterr().err == "There is no file of settings at absent.env.\n"


def test_help_lists_every_command(capsys):
    assert cli.run(["--help"]) == 0
    said = capsys.readouterr().out
    wanted = ["init", "check", "bootstrap", "list", "show", "revoke", "shorten", "catalog", "audit"]
    assert [name for name in wanted if not re.search(rf"^  {name} ", said, re.MULTILINE)] == []


def test_a_part_that_is_missing_is_left_out(capsys, monkeypatch):
    monkeypatch.setitem(cli._COMMANDS, "coming", "not_written_yet:coming")
    assert cli.run(["--help"]) == 0
    assert "coming" not in capsys.readouterr().out


def test_a_part_that_is_broken_is_not_left_out_in_silence(capsys, monkeypatch):
    monkeypatch.setitem(cli._COMMANDS, "odd", "init:no_such_name")
    assert cli.run(["--help"]) == 70


def test_it_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bot", "catalog", "lint", str(ROOT / "bot/demo/catalog.yml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_and_exit_code_is_documented():
    page = (ROOT / "docs/cli.md").read_text()
    commands = [*cli._COMMANDS, "catalog lint", "catalog explain", "catalog who-can"]
    commands += ["catalog schema", "audit verify", "audit export"]
    assert [name for name in commands if f"`jit {name}" not in page] == []
    for code in (cli.OK, cli.FINDINGS, cli.OPERATOR, cli.NOT_FOUND, cli.BUG):
        assert f"| {code} |" in page


def test_whatever_is_logged_stays_out_of_the_answer():
    command = """if True:
        import logging, structlog
        from bot import cli

        def run(arguments):
            structlog.get_logger().error("ours")
            logging.getLogger("a.library").error("theirs")
            print("{}")
            return 0

        cli.run = run
        cli.main()
    """
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{}\n"
    assert "ours" in done.stderr
    assert "theirs" in done.stderr


@pytest.mark.parametrize("called", ["bot/__main__.py", ".venv/bin/jit", "odd place/jit"])
def test_the_demo_names_itself_as_it_can_be_typed_again(
    called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [str(ROOT / called), "demo"])
    words = shlex.split(demo._ourselves())
    if called == "bot/__main__.py":
        done = subprocess.run([*words, "--help"], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    else:
        assert words == [called]


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_finds_no_room_is_no_bug() -> None:
    with pathlib.Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bot", "catalog", "schema"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "The answer cannot be written: No space left on device.\n",
    )


def test_a_terminal_that_cannot_write_a_letter_gets_the_rest() -> None:
    command = "import sys; from bot import cli; cli.run = lambda _: print('1 → 2'); cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"1 \\u2192 2\n", b"", 0)
