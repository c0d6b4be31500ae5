"""Somebody writes into the state database by hand, past its triggers and checks.

Whatever they write about one grant: its access ends within one look of the reconciler behind the
deadline that its role carries in the target; every other grant ends as if nothing were; and nothing
that is not ours is touched, though the record may now name it.
"""

import pathlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from bot import model
from bot.comparing import reconcile
from bot.ending import phases
from bot.watching import ringing
from tests.fixtures_postgres import Shop
from tests.real_world import RealWorld

pytestmark = pytest.mark.faults

FAR = "'2099-01-01T00:00:00.000000+00:00'"
STRANGER = "jit_lookalik"
STEP = timedelta(minutes=2)
LATEST = timedelta(minutes=30) + reconcile.EVERY + phases.CLOSED_WITHIN + STEP

EDITS = {
    "a later deadline": f"expires_at = {FAR}",
    "a deadline that is no date": "expires_at = 'soon'",
    "no deadline": "expires_at = ''",
    "a beginning that is no date": "created_at = 'soon'",
    "over, which it is not": "status = 'ended'",
    "never granted, which it is": "status = 'activation_failed'",
    "to be granted once more": "status = 'activating'",
    "a status that is none": "status = 'nonsense'",
    "a cause that is none": "cause = 'nonsense'",
    "a shut door, which is open": "status = 'revoking', access_ended_at = created_at",
    "to be tried again much later": (
        f"status = 'revoking', cause = 'deadline', revoking_since = expires_at,"
        f" next_attempt_at = {FAR}"
    ),
    "claimed for ever": f"claimed_by = 'nobody', claimed_until = {FAR}",
    "tried endlessly": "status = 'revoking', cause = 'deadline', attempts = 1000000000",
    "no role": "role_oid = NULL",
    "another role's number": "role_oid = 10",
    "a superuser's role": "role_name = 'postgres', role_oid = 10",
    "a look-alike's role": f"role_name = '{STRANGER}', role_oid = {{stranger}}",
    "another target": "target = 'nowhere'",
}
STATEMENTS = {what: f"UPDATE access_grant SET {to} WHERE id = ?" for what, to in EDITS.items()} | {
    "no grant": "DELETE FROM access_grant WHERE id = ?",
    "no request": "DELETE FROM access_request WHERE id = ?",
    "a scope that is none": "UPDATE access_request SET scope = '{{' WHERE id = ?",
}


@pytest.fixture
def real(tmp_path: pathlib.Path, shop: Shop) -> Iterator[RealWorld]:
    made = RealWorld(tmp_path, shop)
    yield made
    made.close()


@pytest.fixture
def stranger(shop: Shop) -> Iterator[int]:
    """The number of a role that is named like ours and is somebody else's."""
    with shop.connect() as admin:
        admin.execute(f"CREATE ROLE {STRANGER} LOGIN")
        row = admin.execute(f"SELECT oid FROM pg_roles WHERE rolname = '{STRANGER}'").fetchone()
        assert row is not None
        yield row[0]
        admin.execute(f"DROP ROLE {STRANGER}")


def write(world: RealWorld, statement: str, grant_id: str) -> None:
    """As one does who has the file and means it."""
    with closing(sqlite3.connect(world.path)) as file:
        names = file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            file.execute(f'DROP TRIGGER "{name}"')
        file.execute("PRAGMA ignore_check_constraints = ON")
        assert file.execute(statement, [grant_id]).rowcount == 1
        file.commit()


def is_open(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def ends_after(world: RealWorld, sessions: dict[str, psycopg.Connection]) -> dict[str, timedelta]:
    """When each was cut, sweeping and looking as a running bot does, for a good hour."""
    ended: dict[str, timedelta] = {}
    passed = timedelta(0)
    while passed < timedelta(hours=1):
        passed += STEP
        world.clock.advance(STEP)
        world.sweep()
        world.bot.reconciler.look("shop")
        for name, session in sessions.items():
            if name not in ended and not is_open(session):
                ended[name] = passed
    return ended


def others(world: RealWorld) -> dict[str, str]:
    return {
        name: state for name, state in world.target().others.items() if name in world.before.others
    }


@pytest.mark.fault(
    "R-01",
    "the record of a live grant is changed by hand",
    how="statements past triggers and checks: 21 of them, from a later deadline to no row",
    expects="it ends, by what its role carries; all others as ever; what is not ours is untouched",
)
@pytest.mark.parametrize("what", list(STATEMENTS))
def test_whatever_is_written_about_a_grant_it_ends_and_so_do_the_others(
    real: RealWorld, stranger: int, what: str
) -> None:
    edited, other = real.live(), real.live()
    given = {"edited": real.reveal(edited), "other": real.reveal(other)}
    before = others(real)
    sessions = {name: real.log_in(each) for name, each in given.items()}
    write(real, STATEMENTS[what].format(stranger=stranger), edited)
    ended = ends_after(real, sessions)
    for session in sessions.values():
        session.close()
    assert ended["other"] == timedelta(minutes=30)
    assert ended["edited"] <= LATEST
    assert real.store.grant(other).status is model.GrantStatus.ENDED
    assert others(real) == before
    with real.shop.connect() as admin:
        row = admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE oid = %s", [stranger]
        ).fetchone()
        assert row == (True,)
        for role in real.target().managed:
            assert not role.can_login
            admin.execute(f"DROP OWNED BY {role.name}; DROP ROLE {role.name}")


@pytest.mark.parametrize(
    "what", ["a later deadline", "claimed for ever", "no grant", "no deadline"]
)
def test_what_was_written_is_told(real: RealWorld, what: str) -> None:
    edited = real.live()
    write(real, STATEMENTS[what], edited)
    ends_after(real, {})
    told = {event.type for event in real.store.all_events()}
    assert told & {"reconcile.found", "alarm.raised"}


@pytest.mark.fault(
    "R-02",
    "everything small that the record keeps is spoilt by hand",
    how="every row of `setting` overwritten",
    expects="grants end, alarms ring, also after a restart: what it told of is told anew",
)
def test_spoilt_settings_are_as_none(real: RealWorld) -> None:
    real.live()
    real.bot.reconciler.look("shop")
    real.bot.grants.skew.look("shop")
    real.link.down = True
    real.clock.advance(timedelta(minutes=40))
    real.sweep()
    assert len(ringing.everything(real.store)) == 1
    with closing(sqlite3.connect(real.path)) as file:
        assert file.execute("UPDATE setting SET value = '{'").rowcount > 2
        file.commit()
    real.sweep()
    assert len(ringing.everything(real.store)) == 1, "it rings anew"
    with closing(sqlite3.connect(real.path)) as file:
        file.execute("UPDATE setting SET value = '{'")
        file.commit()
    real.restart()
    real.link.down = False
    for _ in range(3):
        real.clock.advance(STEP)
        real.sweep()
    assert real.target().managed == ()
    assert ringing.everything(real.store) == ()
