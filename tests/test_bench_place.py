"""Where the benchmark measures: roles as the engine leaves them, and raw SQL that does what it claims."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench import core, jobs, place, ways
from bench.cases import hygiene
from db_grants import naming
from db_grants.spec import ManagedRole

RAWS = (ways.Raw, ways.RawSuperuser, ways.RawBatches, ways.RawScram)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[place.Place]:
    with place.serving(Path(tmp_path_factory.mktemp("bench")) / "server") as server:
        yield place.Place(server, "bench", tables=10)


def left(at: place.Place, grant_id: str) -> dict[str, Any]:
    """Everything the server knows of a role, by another name."""
    name = naming.managed_role(grant_id)
    role = at.ask(
        "SELECT rolcanlogin, rolinherit, rolconnlimit, rolvaliduntil, rolcreaterole,"
        " left(rolpassword, 13), (SELECT array_agg(s.setconfig) FROM pg_db_role_setting s"
        " WHERE s.setrole = a.oid), shobj_description(oid, 'pg_authid') <> '' FROM pg_authid a"
        " WHERE rolname = %s",
        name,
    )
    members = at.ask(
        "SELECT replace(roleid::regrole::text, %s, 'it'), replace(member::regrole::text, %s, 'it'),"
        " grantor::regrole::text, admin_option, inherit_option, set_option FROM pg_auth_members"
        " WHERE %s::regrole IN (roleid, member) ORDER BY 1, 2",
        name,
        name,
        name,
    )
    return {"role": role, "members": members}


def test_what_is_filled_in_is_what_the_engine_leaves_of_a_grant(at: place.Place) -> None:
    spec, ours, filled = at.spec(10), at.engine(), place.fresh_id()
    made = ours.create(spec)
    ours.reveal(made, spec.expires_at, at.database)
    at.fill([filled], spec.expires_at)
    assert left(at, spec.grant_id) == left(at, filled)
    ours.dispose()
    at.clear()


def test_the_engine_ends_what_was_filled_in(at: place.Place) -> None:
    ours, filled = at.engine(), place.fresh_id()
    oids = at.fill([filled], core.soon(60))
    held = ManagedRole(grant_id=filled, name=naming.managed_role(filled), oid=oids[filled])
    assert at.live() == 1
    ours.close(held)
    assert ours.remove(held).clean
    assert at.live() == 0
    ours.dispose()


def test_each_grant_is_filled_in_with_its_own_deadline(at: place.Place) -> None:
    due = {place.fresh_id(): core.soon(60 * n) for n in range(1, 4)}
    at.fill_each(due)
    query = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = %s"
    assert [at.ask(query, naming.managed_role(each))[0][0] for each in due] == [*due.values()]
    at.clear()
    assert at.live() == 0


def test_a_place_holds_one_scope_as_a_service_does(at: place.Place) -> None:
    assert at.scope(10) is at.scope(10)
    assert at.scope(1) is not at.scope(10)


@pytest.mark.parametrize("way", RAWS, ids=lambda way: way.name)
def test_raw_sql_gives_access_and_takes_it_back(at: place.Place, way: type[ways.Raw]) -> None:
    with ways.opened(way(at)) as found:
        held = found[way.name].grant(10)
        member = "SELECT pg_has_role(%s, %s, 'USAGE')"
        role = held.as_string(None).strip('"')
        assert at.ask(member, role, at.role_of(10)) == [(True,)]
        found[way.name].end(held)
        assert at.ask("SELECT 1 FROM pg_roles WHERE rolname = %s", role) == []


def test_raw_sql_as_the_bot_can_end_only_what_it_administers(at: place.Place) -> None:
    mine, other = place.fresh_id(), place.fresh_id()
    at.fill([mine], core.soon(60), administered=True)
    at.fill([other], core.soon(60))
    with ways.opened(ways.Raw(at)) as found:
        found["raw"].end(ways.named(naming.managed_role(mine)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            found["raw"].end(ways.named(naming.managed_role(other)))
    assert at.live() == 1
    at.clear()


@pytest.mark.parametrize("way", [ways.Raw, ways.RawSuperuser, ways.RawBatches])
def test_two_workers_with_raw_sql_end_every_one(at: place.Place, way: type[ways.Raw]) -> None:
    before = at.ask("SELECT count(*) FROM pg_roles")
    found = jobs.raw(at, way, 250, "burst")
    assert (found.impl, found.n, found.samples) == (way.name, 250, 250)
    assert at.ask("SELECT count(*) FROM pg_roles") == before


def test_only_one_raw_way_makes_a_fresh_verifier_for_each_grant(at: place.Place) -> None:
    kept = "SELECT count(DISTINCT rolpassword) FROM pg_authid WHERE rolname = ANY(%s)"
    for way, different in ((ways.RawSuperuser, 1), (ways.RawScram, 3)):
        with ways.opened(way(at)) as found:
            held = [found[way.name].grant(1) for _ in range(3)]
            names = [each.as_string(None).strip('"') for each in held]
            assert at.ask(kept, names) == [(different,)]
    at.clear()


def test_cycles_go_on_until_autovacuum_has_had_its_turns(
    at: place.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hygiene, "NAPTIME", "1s")
    monkeypatch.setattr(hygiene, "TURNS", 2)
    found = hygiene._Cycles(asked=60)
    with at.connect() as admin:
        hygiene._cycled(at, admin, found)
    assert found.turns >= 2
    assert len(found.took) >= 60
    assert found.failed == 0
    assert found.at_first <= found.halfway <= found.at_last
    assert found.rewritten <= found.at_last
    assert at.ask("SHOW autovacuum_naptime") == [("1s",)]
