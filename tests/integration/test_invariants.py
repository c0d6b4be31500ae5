"""The invariant checker sees each invariant broken: by hand, in the record or in the target."""

import pathlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from psycopg import sql

from bot import model
from bot.telling import outbox
from proof import invariants, reality
from tests.fixtures_postgres import Shop
from tests.real_world import RealWorld


@pytest.fixture
def real(tmp_path: pathlib.Path, shop: Shop) -> Iterator[RealWorld]:
    """A service over a real target, about to be tampered with."""
    made = RealWorld(tmp_path, shop)
    yield made
    made.close()


def by_hand(world: RealWorld, statement: str, *values: object) -> None:
    """Change the record as nothing of ours can: without its triggers."""
    with closing(sqlite3.connect(world.path)) as file:
        names = file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            file.execute(f'DROP TRIGGER "{name}"')
        assert file.execute(statement, values).rowcount > 0, "nothing was tampered with"
        file.commit()


def as_superuser(world: RealWorld, statement: str, *names: str) -> None:
    with world.shop.connect() as admin:
        admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def found(world: RealWorld, name: str, **more: Any) -> list[str]:
    """What one invariant, by itself, says of this world."""
    recorded = reality.record(world.store, world.clock.now())
    seen = invariants.Evidence(
        record=recorded,
        targets=[world.target()],
        transcript=reality.of_teller(world.channel),
        before=[world.before],
        scoped=lambda _, scope: reality.scoped(world.shop.admin_url, scope),
    )
    return list(invariants.INVARIANTS[name](replace(seen, **more)))


def test_a_whole_life_breaks_nothing(real: RealWorld) -> None:
    request_id = real.live()
    real.check()
    with closing(real.log_in(real.reveal(request_id))) as session:
        session.execute("SELECT count(*) FROM app.orders")
        real.check()
        real.clock.advance(timedelta(minutes=31))
        real.sweep()
        real.check()
    real.sweep()
    assert real.store.grant(request_id).status is model.GrantStatus.ENDED
    real.check()
    assert real.target().managed == ()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE review SET reviewer_id = 'U0ANA'", "decided by its own requester"),
        ("DELETE FROM review", "0 of 1 approvals"),
        ("UPDATE review SET answer = 'deny'", "denied by somebody and granted"),
        ("UPDATE review SET at = '2000-01-01T00:00:00.000000Z'", "approved outside its time"),
        ("UPDATE access_request SET status = 'denied'", "has a grant and is denied"),
        ("UPDATE access_request SET verdict = 'deny'", "has a grant that policy denied"),
        ("UPDATE access_grant SET requester_id = 'U0BO'", "not the grant that was asked for"),
    ],
)
def test_i1_sees_a_grant_that_nobody_decided(real: RealWorld, statement: str, words: str) -> None:
    real.live()
    assert found(real, "I1") == []
    by_hand(real, statement)
    assert words in "\n".join(found(real, "I1"))


def test_i1_sees_a_role_that_can_more_than_was_decided(real: RealWorld) -> None:
    request_id = real.live()
    as_superuser(real, "GRANT SELECT (ssn) ON app.customers TO {}", f"jit_{request_id}")
    assert "can select app.customers.ssn, which nobody decided" in found(real, "I1")[0]
    as_superuser(real, "ALTER ROLE {} CREATEDB", f"jit_{request_id}")
    assert "has CREATEDB" in found(real, "I1")[1]


@pytest.mark.parametrize("type_", ["grant.active", "request.denied"])
def test_i2_sees_what_happened_twice(real: RealWorld, type_: str) -> None:
    request_id = real.live()
    assert found(real, "I2") == []
    by_hand(
        real,
        "INSERT INTO audit_event SELECT seq + 1, at, ?, ?, body, hash, 'x' FROM audit_event"
        " ORDER BY seq DESC LIMIT 1",
        type_,
        request_id,
    )
    assert len(found(real, "I2")) == 1


def test_i2_sees_two_grants_of_one_role(real: RealWorld) -> None:
    real.live(), real.live()
    assert found(real, "I2") == []
    by_hand(real, "UPDATE access_grant SET role_oid = 4711")
    assert found(real, "I2") == ["role ('shop', 4711) belongs to 2 grants"]


def test_i3_sees_access_that_is_recorded_as_ended_and_is_not(real: RealWorld) -> None:
    real.live()
    assert found(real, "I3") == []
    by_hand(real, "UPDATE access_grant SET status = 'revoking', access_ended_at = created_at")
    assert "recorded as ended, and it can log in" in found(real, "I3")[0]


def test_i3_sees_access_past_its_time_unless_an_alarm_rings(real: RealWorld) -> None:
    real.live()
    real.link.down = True
    real.clock.advance(timedelta(minutes=32))
    assert "no alarm" in found(real, "I3")[0]
    real.sweep()
    assert found(real, "I3") == [], "the alarm rings"
    real.clock.advance(timedelta(minutes=17))
    assert "no alarm" in found(real, "I3")[0], "it was not repeated"
    real.sweep()
    assert found(real, "I3") == []
    by_hand(real, "DELETE FROM setting WHERE key LIKE 'alarm:%'")
    assert "no alarm" in found(real, "I3")[0], "it was forgotten"


def test_i3_sees_a_session_whose_role_is_gone(real: RealWorld) -> None:
    request_id = real.live()
    with closing(real.log_in(real.reveal(request_id))):
        as_superuser(real, "DROP ROLE {}", f"jit_{request_id}")
        assert found(real, "I3") == ["1 sessions on shop belong to a role that is gone"]
        assert "does not exist" in found(real, "I4")[0]


def test_i3_sees_a_role_that_outlived_its_grant(real: RealWorld) -> None:
    real.live()
    by_hand(real, "UPDATE access_grant SET status = 'ended'")
    assert "is ended and jit_" in found(real, "I3")[0]


def test_i4_sees_an_orphan(real: RealWorld) -> None:
    assert found(real, "I4") == []
    as_superuser(real, "CREATE ROLE jit_0rphan00 IN ROLE jit_managed")
    assert found(real, "I4") == ["jit_0rphan00 on shop is an orphan: its grant is in no record"]


def test_i4_sees_a_foreign_role_that_was_altered(real: RealWorld) -> None:
    as_superuser(real, "CREATE ROLE jit_somebody_else LOGIN")
    seen = real.target()
    assert found(real, "I4", before=[seen]) == []
    as_superuser(real, "ALTER ROLE jit_somebody_else NOLOGIN")
    assert "jit_somebody_else on shop is not ours" in found(real, "I4", before=[seen])[0]
    as_superuser(real, "DROP ROLE jit_somebody_else")
    assert "jit_somebody_else on shop is not ours" in found(real, "I4", before=[seen])[0]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit_event SET body = replace(body, 'Bo', 'Bu')", "not what was recorded"),
        ("DELETE FROM audit_event WHERE seq = 2", "event 2: it is missing"),
        ("DELETE FROM audit_event WHERE type = 'grant.active'", "1 of grant.active happened"),
        ("UPDATE access_request SET decided_at = created_at", "was decided"),
        ("UPDATE access_grant SET reveals = 1", "1 of credential.revealed happened, 0 recorded"),
        ("UPDATE access_grant SET status = 'revoking'", "grant.revoking happened, 0 recorded"),
    ],
)
def test_i5_sees_a_change_without_its_event(real: RealWorld, statement: str, words: str) -> None:
    request_id = real.ask()
    real.clock.advance(timedelta(seconds=7))
    real.review(request_id)
    real.sweep()
    assert found(real, "I5") == []
    by_hand(real, statement)
    assert words in "\n".join(found(real, "I5"))


def test_i5_sees_a_chain_that_lost_an_end_that_was_seen(real: RealWorld) -> None:
    real.live()
    head = real.store.chain_head()
    assert found(real, "I5", witness=head) == []
    by_hand(real, "DELETE FROM audit_event WHERE seq = ?", head[0])
    assert f"no longer holds event {head[0]}" in "\n".join(found(real, "I5", witness=head))


def test_i6_sees_a_secret_wherever_it_stands(real: RealWorld, tmp_path: pathlib.Path) -> None:
    given = real.reveal(real.live())
    secrets, log = {given.password}, tmp_path / "bot.log"
    log.write_text("")
    assert found(real, "I6", secrets=secrets, logs=[log]) == []
    log.write_text(f"psql {given.password}")
    assert str(log) in found(real, "I6", secrets=secrets, logs=[log])[0]
    said = reality.Transcript(raw=f'["{given.password}"]')
    assert "what was said" in found(real, "I6", secrets=secrets, transcript=said)[0]
    by_hand(real, "UPDATE access_request SET comment = ?", given.password)
    assert "the state database" in found(real, "I6", secrets=secrets)[0]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE access_grant SET expires_at = '2000-01-01T00:00:00.000000Z'", "is active"),
        (
            (
                "UPDATE access_grant SET status = 'revoking', "
                "next_attempt_at = '2100-01-01T00:00:00.000000Z'"
            ),
            "not tried again",
        ),
        (
            (
                "UPDATE access_grant SET status = 'activating', "
                "activate_by = '2000-01-01T00:00:00.000000Z'"
            ),
            "still being granted",
        ),
        ("""UPDATE access_grant SET status = 'ended', residue = '["a role"]'""", "something left"),
    ],
)
def test_i7_sees_an_end_that_is_not_pursued(real: RealWorld, statement: str, words: str) -> None:
    real.live()
    assert found(real, "I7") == []
    by_hand(real, statement)
    assert words in "\n".join(found(real, "I7"))


def says(request_id: str, text: str, **more: Any) -> reality.Transcript:
    said = reality.Said(request_id=request_id, text=text, **more)
    return reality.Transcript(said=(said,))


@pytest.mark.parametrize(
    "text",
    [
        "read_customer_data on shop is yours until 12:30",
        "Active until 12:30 · approved by Bo",
        "Approved by Bo. Granting…",
        "Ended: time was over",
        "Access ended and verified: Ana Lima, read_customer_data on shop",
        "Denied by Bo: no",
        "Nothing was granted: shop is away",
    ],
)
def test_i8_sees_a_claim_that_nothing_in_the_record_bears_out(real: RealWorld, text: str) -> None:
    request_id = real.ask()
    assert found(real, "I8", transcript=says(request_id, "Asked, 2 people may decide")) == []
    assert found(real, "I8", transcript=says(request_id, "export stuck")) == []
    assert len(found(real, "I8", transcript=says(request_id, text))) >= 1


def test_i8_sees_a_claim_made_too_early_and_a_summary_made_twice(real: RealWorld) -> None:
    request_id = real.live()
    at = real.store.grant(request_id).activated_at
    assert at is not None
    assert found(real, "I8", transcript=says(request_id, "Active until 12:30", at=at)) == []
    early = says(request_id, "Active until 12:30", at=at - timedelta(seconds=1))
    assert "too early" in found(real, "I8", transcript=early)[0]
    twice = says(request_id, "", kind=str(outbox.Kind.SUMMARY))
    twice = replace(twice, said=twice.said * 2)
    assert found(real, "I8", transcript=twice) == [f"{request_id} has 2 summaries"]


def test_everything_that_is_broken_is_told_at_once(real: RealWorld) -> None:
    real.live()
    by_hand(real, "DELETE FROM review")
    as_superuser(real, "CREATE ROLE jit_0rphan00 IN ROLE jit_managed")
    with pytest.raises(AssertionError) as told:
        real.check()
    assert {line[:2] for line in str(told.value).splitlines()[1:]} >= {"I1", "I4"}
