"""OpenBao beside ours: what it keeps, and what is judged by which."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import core, openbao, place
from bench.cases import lifecycles


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[place.Place]:
    with place.serving(Path(tmp_path_factory.mktemp("bench")) / "server") as server:
        yield place.Place(server, "bench", tables=10)


@pytest.fixture(scope="module")
def baos(
    at: place.Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[openbao.Bao, ...]]:
    if not openbao.is_fetched():
        pytest.skip("OpenBao's program is not here; `make bench` fetches it")
    with openbao.running(Path(tmp_path_factory.mktemp("bao")), at) as found:
        yield found


def test_one_openbao_is_on_disk_and_one_in_memory(baos: tuple[openbao.Bao, ...]) -> None:
    storage = {each.kept: each.call("GET", "sys/seal-status")["storage_type"] for each in baos}
    assert storage == {openbao.DURABLE: "raft", openbao.MEMORY: "inmem"}


def test_the_durable_one_still_has_its_leases_when_it_was_killed(
    at: place.Place, tmp_path: Path
) -> None:
    if not openbao.is_fetched():
        pytest.skip("OpenBao's program is not here; `make bench` fetches it")
    folder, options = tmp_path / "bao", [f"-config={tmp_path / 'bao' / 'config.json'}"]
    openbao._configure(folder, port := openbao._free_port())
    with openbao._server(folder, options, kill=True):
        bao, key = openbao._initialised(port)
        bao.serve(at)
        leases = [bao.lease(f"{openbao.MEMBERSHIP}-10") for _ in range(5)]
        ended = bao.lease(f"{openbao.MEMBERSHIP}-10")
        bao.revoke(ended)
        bao.close()
    with openbao._server(folder, options), contextlib.closing(bao):
        openbao._unseal(bao, key)
        for lease in leases:
            bao.look_up(lease)
        with pytest.raises(RuntimeError, match="invalid lease"):
            bao.look_up(ended)
        bao.revoke_all(f"{openbao.MEMBERSHIP}-10")
    assert at.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", "v-%") == []


@pytest.mark.parametrize("role", [openbao.MEMBERSHIP, openbao.DIRECT, openbao.SPREAD])
def test_each_way_of_openbao_gives_access_and_takes_it_back(
    at: place.Place, baos: tuple[openbao.Bao, ...], role: str
) -> None:
    made = "SELECT has_table_privilege(rolname, 'app.t9', 'SELECT') FROM pg_roles"
    for bao in baos:
        way = openbao.Spread(bao) if role == openbao.SPREAD else openbao.Way(bao, role)
        assert way.name == f"{role}/{bao.kept}"
        held = way.grant(10)
        assert at.ask(f"{made} WHERE rolname LIKE %s", "v-%") == [(True,)]
        way.end(held)
        assert at.ask(f"{made} WHERE rolname LIKE %s", "v-%") == []


def test_without_its_program_there_is_no_openbao_and_one_row_says_so(
    at: place.Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openbao, "program", lambda: None)
    with openbao.running(tmp_path, at) as found:
        assert found == ()
    (row,) = lifecycles._peers((), {})
    assert (row.figure, row.bound, row.met) == ("", "", None)


def test_each_openbao_is_judged_and_every_row_says_which_and_how_fair() -> None:
    baos = [openbao.Bao(1, kept) for kept in (openbao.DURABLE, openbao.MEMORY)]
    rates = {"ours": 300.0, "ours-service": 150.0, "raw-scram": 400.0, "raw-superuser": 500.0}
    peers = {openbao.DURABLE: 100.0, openbao.MEMORY: 200.0}
    for (kept, theirs), role in itertools.product(peers.items(), _ROLES):
        rates[f"{role}/{kept}"] = theirs
    found = {each.what: each for each in lifecycles._peers(baos, _thrice(rates))}
    judged = {what: each.figure.split()[0] for what, each in found.items() if each.bound}
    alike, ours = "like with like", "ours, which keeps no record,"
    durable, memory = openbao.WORDS[openbao.DURABLE], openbao.WORDS[openbao.MEMORY]
    rate = "by membership: lifecycles/s, 4 clients"
    assert judged[f"{alike}: ours-service, durable, over {durable}, {rate}"] == "1.50"
    assert judged[f"in our favour: {ours} over {durable}, {rate}"] == "3"
    assert judged[f"{alike}: {ours} over {memory}, {rate}"] == "1.50"
    assert len(judged) == 6
    extreme = found[f"extreme: ours-service, durable, over {memory}, {rate}"]
    assert (extreme.figure, extreme.bound) == ("0.75", "")
    assert len(found) == 14
    spread = [each for what, each in found.items() if "spread" in what]
    assert len(spread) == 2
    assert not any(each.bound for each in spread)


_ROLES = (openbao.MEMBERSHIP, openbao.DIRECT, openbao.SPREAD)


def _thrice(rates: dict[str, float]) -> dict[str, list[float]]:
    return {name: [rate] * 3 for name, rate in rates.items()}


def test_ours_with_its_record_is_a_way_of_its_own_and_leaves_nothing(
    at: place.Place, tmp_path: Path
) -> None:
    with core.state(tmp_path, "sqlite", at) as url, core.running(at, url) as made:
        way = core.Served(made)
        way.approve(3)
        way.approve(2)
        waiting = [each.id for each in made.store.grants(limit=9)]
        held = [way.grant(10) for _ in range(4)]  # one more than were waiting
        assert len(waiting) == 3
        assert set(waiting) < set(held)
        assert at.live() == 4
        for each in held:
            way.shut(each)
        assert at.live() == 0
        for each in held:
            way.drop(each)
        assert {made.store.grant(each).status.value for each in held} == {"revoked"}
