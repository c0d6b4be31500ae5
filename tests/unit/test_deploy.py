"""The units we ship call commands that exist, with no power and no secret in their arguments."""

import configparser
import pathlib
import shutil
import subprocess

import pytest

from bot import cli

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))


class Unit(configparser.RawConfigParser):
    """A unit file: keys keep their case, and the last of several counts."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(path)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_runs_a_command_that_exists_and_gives_it_no_secret(path: pathlib.Path) -> None:
    program, command, *options = Unit(path)["Service"]["ExecStart"].split()
    assert program.endswith("/bin/jit")
    assert command in cli._COMMANDS
    assert not [option for option in options if "url" in option or "://" in option]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_has_no_power_on_its_machine(path: pathlib.Path) -> None:
    service = Unit(path)["Service"]
    assert (service["DynamicUser"], service["NoNewPrivileges"]) == ("yes", "yes")
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")


def test_the_sweep_is_called_every_minute() -> None:
    assert Unit(DEPLOY / "jit-sweep.timer")["Timer"]["OnUnitActiveSec"] == "60s"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_understands_every_line() -> None:
    said = subprocess.run(
        ["systemd-analyze", "verify", *DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    complaints = [line for line in said.splitlines() if "deploy/" in line or "jit" in line]
    assert [line for line in complaints if "is not executable" not in line] == []
