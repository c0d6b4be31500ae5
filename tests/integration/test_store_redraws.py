"""Of redraws of one thing one is enough while it waits; and no change is left undrawn by that."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import model
from bot import store as stores
from bot.store import bulk, tables, turns
from bot.telling import notices
from bot.telling.notices import Kind
from tests.fixtures_store import ANA, KEY, NOON, submit

ODD = 'O\'Brien {} %s "x" \N{GRINNING FACE}'
CANCELLED = model.RequestStatus.CANCELLED


@pytest.fixture
def request_id(state: stores.Store) -> str:
    return submit(state).id


@pytest.fixture
def open_record(record_url: str, clock: clocks.ManualClock) -> Iterator[Callable[[], stores.Store]]:
    """Opens the same record on PostgreSQL, as often as wanted."""
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(stores.open_store(record_url, clock, audit_key=KEY))


def redraw(store: stores.Store, request_id: str, *kinds: Kind) -> None:
    with store.begin(ANA) as tx:
        notices.redraw(tx, request_id, *kinds)


def cancel(store: stores.Store, request_id: str) -> None:
    """A change, and the card that is to show it."""
    with store.begin(ANA) as tx:
        tx.settle_request(request_id, CANCELLED)
        notices.redraw(tx, request_id)


def waiting(store: stores.Store) -> list[tuple[str, str | None]]:
    """Everything that is still to be said, in the order in which it would be."""
    box = sa.table("outbox", *map(sa.column, ("id", "kind", "request_id", "settled_at")))
    query = sa.select(box.c.kind, box.c.request_id).where(box.c.settled_at.is_(None))
    with store.begin(ANA) as tx:
        return [tuple(row) for row in tx.connection.execute(query.order_by(box.c.id))]


def deliver(store: stores.Store) -> model.RequestStatus | None:
    """Draw what is to be drawn first; as what it was drawn."""
    claimed = store.outbox_claim(NOON, limit=1)
    for row in claimed:
        drawn = store.story(str(row.request_id)).request.status
        store.outbox_done(row.id, fence=row.fence)
        return drawn
    return None


@pytest.fixture
def when_committing(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[stores.Store, Callable[[], object]], None]:
    """At the very end of the next change by that store: all is asked for, and nobody else sees it."""

    def arranged(store: stores.Store, act: Callable[[], object]) -> None:
        left, commit = [act], turns.commit

        def committing(connection: sa.Connection) -> None:
            if left and "isolation_level" not in connection.get_execution_options():  # it writes
                left.pop()()

        def asked_to(connection: sa.Connection) -> None:
            if connection.engine.pool is store._database._engine.pool:
                committing(connection)
            commit(connection)

        monkeypatch.setattr(turns, "commit", asked_to)
        sa.event.listen(store._database._engine, "commit", committing)

    return arranged


def test_a_redraw_that_waits_does_for_the_next_one(state: stores.Store, request_id: str) -> None:
    redraw(state, request_id, Kind.RECEIPT)
    redraw(state, request_id, Kind.RECEIPT, Kind.LIVE)
    kinds = [kind for kind, _ in waiting(state)]
    assert kinds == ["card", "receipt", "live"]


def test_within_one_transaction_too(state: stores.Store, request_id: str) -> None:
    with state.begin(ANA) as tx:
        notices.home(tx, "U0ANA")
        notices.home(tx, "U0BO", "U0ANA")
    assert [kind for kind, _ in waiting(state)] == ["home", "home"]


def test_what_is_said_of_a_crowd_is_what_is_said_one_by_one(
    state: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"who": ODD, "cut": 2, "late": 0.5, "nobody": None}
    told = list[list[tuple[object, ...]]]()
    for many in (2, 1000):
        monkeypatch.setattr(bulk, "MANY", many)
        ids = tuple(submit(state).id for _ in range(4))
        redraw(state, ids[1], Kind.LIVE)
        with state.begin(ANA) as tx:
            notices.redraw(tx, ids, Kind.LIVE)
            notices.tell(tx, ids, notices.Line.ENDED, NOON)
            notices.line(tx, ids, notices.Line.ENDED, NOON, **figures)
            notices.summary(tx, ids)
            notices.audit(tx, ids, notices.Line.ENDED, NOON, **figures)
        told += [told_of(state, each) for each in ids]
    kinds = ["card", "live", "told", "thread", "summary", "audit"]
    assert [[row[0] for row in rows] for rows in told] == [kinds] * 8
    assert all(rows == told[0] for rows in told)


def told_of(store: stores.Store, request_id: str) -> list[tuple[object, ...]]:
    """What waits of that request, as it was written; its id left out."""
    query = sa.select(tables.outbox).where(tables.outbox.c.request_id == request_id)
    with store.begin(ANA) as tx:
        rows = tx.connection.execute(query.order_by(tables.outbox.c.id)).all()
    return [(row.kind, row.lane.replace(request_id, "its"), *row[4:]) for row in rows]


def test_each_request_and_each_person_has_a_redraw_of_its_own(
    state: stores.Store, request_id: str
) -> None:
    other = submit(state).id
    for each in (request_id, other):
        redraw(state, each)
    with state.begin(ANA) as tx:
        notices.home(tx, "U0ANA")
    with state.begin(ANA) as tx:
        notices.home(tx, "U0BO")
    assert waiting(state) == [("card", request_id), ("card", other), ("home", None), ("home", None)]


def test_what_has_words_of_its_own_is_said_each_time(state: stores.Store, request_id: str) -> None:
    for _ in range(2):
        with state.begin(ANA) as tx:
            for say in (notices.line, notices.tell, notices.audit):
                say(tx, request_id, notices.Line.MISSED, NOON)
            tx.say(Kind.SUMMARY, request_id, notices.lane_of(request_id), {})
            tx.say(Kind.ALARM, None, notices.AUDIT_LANE, {})
    kinds = [kind for kind, _ in waiting(state)]
    assert kinds == ["thread", "told", "audit", "summary", "alarm"] * 2


def test_a_correction_is_no_substitute_for_a_message_that_is_to_be_posted(
    state: stores.Store, request_id: str
) -> None:
    with state.begin(ANA) as tx:
        notices.correct(tx, request_id, Kind.RECEIPT)
    redraw(state, request_id, Kind.RECEIPT)
    with state.begin(ANA) as tx:
        notices.correct(tx, request_id, Kind.RECEIPT)
    rows = [state.outbox_claim(NOON, limit=1)[0]]
    while True:
        state.outbox_done(rows[-1].id)
        if not (more := state.outbox_claim(NOON, limit=1)):
            break
        rows += more
    told = [(row.kind, row.data) for row in rows]
    assert told == [("receipt", {"only_edit": True}), ("card", {}), ("receipt", {})]


def test_what_is_being_drawn_does_not_count_and_neither_does_what_was(
    state: stores.Store, request_id: str
) -> None:
    redraw(state, request_id)
    (row,) = state.outbox_claim(NOON)
    redraw(state, request_id)
    assert len(waiting(state)) == 2
    state.outbox_done(row.id)
    redraw(state, request_id)
    assert len(waiting(state)) == 1


def test_a_claim_that_ran_out_does_not_count_its_holder_may_be_drawing_still(
    state: stores.Store, request_id: str
) -> None:
    redraw(state, request_id)
    (row,) = state.outbox_claim(NOON)
    late = state.story(request_id).request.status
    state.outbox_renew({row.id: row.fence}, -NOON.resolution * 1000)
    cancel(state, request_id)
    state.outbox_done(row.id, fence=row.fence)  # shows what it was, and nobody else had taken it
    assert late is not CANCELLED
    assert deliver(state) is CANCELLED


def test_one_that_was_put_off_counts(state: stores.Store, request_id: str) -> None:
    redraw(state, request_id)
    (row,) = state.outbox_claim(NOON)
    state.outbox_retry(row.id, NOON, "Slack asks us to wait", fence=row.fence)
    cancel(state, request_id)
    assert len(waiting(state)) == 1
    assert deliver(state) is CANCELLED


@pytest.mark.fault(
    "F-45j",
    "a redraw is claimed while a change that counts on it is being committed",
    how="two connections to PostgreSQL",
    expects="drawn after the commit, with the change",
)
def test_a_redraw_that_is_counted_on_is_drawn_only_after_the_change(
    open_record: Callable[[], stores.Store],
    when_committing: Callable[[stores.Store, Callable[[], object]], None],
) -> None:
    ours, other = open_record(), open_record()
    request_id = submit(ours).id
    redraw(ours, request_id)
    drawn: list[model.RequestStatus | None] = []
    when_committing(ours, lambda: drawn.append(deliver(other)))
    cancel(ours, request_id)
    drawn.append(deliver(other))
    assert drawn == [None, CANCELLED]
    assert other.outbox_depth() == 0


def test_a_redraw_that_is_being_claimed_is_not_counted_on(
    open_record: Callable[[], stores.Store],
    when_committing: Callable[[stores.Store, Callable[[], object]], None],
) -> None:
    ours, other = open_record(), open_record()
    request_id = submit(ours).id
    redraw(ours, request_id)
    seen: list[int] = []

    def change() -> None:
        cancel(ours, request_id)
        seen.append(ours.outbox_depth())

    when_committing(other, change)
    assert other.outbox_claim(NOON)
    assert seen == [2]
