"""The record against reality, both ways, for every target.

What differs, and what to do about it, is worked out in `differences`. What is not ours is only told
of. Of what is ours, one thing is done here: a role whose time is over, by the record or by the
deadline it carries itself, is ended; everything else is for `ending`, or for people, who get a
proposal. So no edit of the record, however it was made, gives anybody access for longer.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, store
from bot.audit import findings
from bot.audit.findings import Finding, Kind
from bot.comparing import differences
from bot.telling import notices
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=5)
_LOOKS_UNTIL_GONE = 2  # one that fails may be a restart
_ALL = 2**31 - 1  # every live grant: one left out would be told of as an orphan
_STATE = "reconcile:"  # followed by the target's name
_TURN = "reconcile.turn:"  # followed by the target's name


class Reconciler:
    """Looks at targets, tells what it finds, and ends what is ours and over."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._wake = wake
        self._looked: dict[str, datetime] = {}

    def due(self) -> tuple[str, ...]:
        """Targets this process has not looked at for EVERY; handing them out counts as a look."""
        now = self._clock.now()
        long_ago = now - EVERY
        due = [name for name in self._engines if self._looked.get(name, long_ago) <= long_ago]
        self._looked |= dict.fromkeys(due, now)
        return tuple(due)

    def look(self, target: str) -> tuple[Finding, ...]:
        """Compare, unless another process did so within EVERY."""
        before = self._claim(target)
        return findings.open_of(self._store, target) if before is None else self._do(target, before)

    def look_now(self, target: str) -> tuple[Finding, ...]:
        """Compare at once, and say so at once when the target does not answer. Raises NotFound."""
        if target not in self._engines:
            raise errors.NotFound(f"There is no target {target}.")
        return self._do(target, self._before(target), looks_until_gone=1)

    def _claim(self, target: str) -> differences.Seen | None:
        """What the last look saw, if it is our turn: of several replicas only one gets it."""
        before, now = self._before(target), self._clock.now()
        if before.looked and now - datetime.fromisoformat(before.looked) < EVERY:
            return None
        if not self._store.take_turn(_TURN + target, now, EVERY):
            return None
        self._remember(target, replace(before, looked=now.isoformat()))
        return before

    def _before(self, target: str) -> differences.Seen:
        key = _STATE + target
        known = store.understood(key, self._store.get(key) or "{}", _seen)
        return known or differences.Seen()

    def _remember(self, target: str, seen: differences.Seen) -> None:
        self._store.put(_STATE + target, json.dumps(asdict(seen)))

    def _do(
        self, target: str, before: differences.Seen, *, looks_until_gone: int = _LOOKS_UNTIL_GONE
    ) -> tuple[Finding, ...]:
        """First the server, then the record: a grant is recorded before its role is made."""
        engine, now = self._engines[target], self._clock.now()
        try:
            survey = engine.survey()
        except target_errors.DbGrantsError as error:
            live = self._store.live_by_target().get(target, 0)
            gone = before.unseen + 1 >= looks_until_gone
            found = differences.unseen(target, live, str(error)) if gone else ()
            after = replace(before, looked=now.isoformat(), unseen=before.unseen + 1)
        else:
            recorded = _recorded(self._store, engine, target, survey, now)
            found = differences.compare(target, recorded, survey, before, now)
            found = tuple(_ended(engine, recorded, survey, one, now) for one in found)
            after = differences.Seen(
                looked=now.isoformat(),
                identifier=survey.identifier,
                timeline=survey.timeline,
                written=survey.written,
            )
        self._tell(target, found)
        self._remember(target, after)
        return found

    def _tell(self, target: str, found: tuple[Finding, ...]) -> None:
        """Record and say what is new, and what is no longer so; the rest has been said."""
        known = {one.key: one for one in findings.open_of(self._store, target)}
        new = [one for one in found if one.key not in known]
        over = [one for key, one in known.items() if key not in {each.key for each in found}]
        if not new and not over:
            return
        with self._store.begin(store.SYSTEM) as tx:
            for one in new:
                _say(tx, one, over=False)
            for one in over:
                _say(tx, one, over=True)
            findings.keep(tx, target, found)
        self._wake()


def _seen(text: str) -> differences.Seen:
    return differences.Seen(**json.loads(text))


def _say(tx: store.Transaction, one: Finding, *, over: bool) -> None:
    """The event and the line are of one transaction; the key keeps a racing replica silent."""
    told = asdict(one) | {"kind": str(one.kind)}
    tx.record("reconcile.settled" if over else "reconcile.found", None, told)
    if over and one.kind is Kind.RESTORED:  # an event, not a state: it does not end
        return
    key = f"finding:{one.key}:{'over' if over else 'new'}:{tx.at:%Y-%m-%dT%H:%M}"
    tx.say(notices.Kind.FINDING, None, notices.AUDIT_LANE, {**told, "over": over}, key=key)
    _log.warning("reconciled", kind=one.kind, target=one.target, role=one.role, over=over)


def _recorded(
    kept: store.Store, engine: engines_.Engine, target: str, found: spec.Survey, now: datetime
) -> differences.Recorded:
    grants = {g.id: g for g in kept.grants(status=model.LIVE_GRANT, target=target, limit=_ALL)}
    elsewhere = set()
    for role in (*found.managed, *found.lookalikes):
        named = differences.grant_of(role)
        grant = None if named in grants else kept.find_grant(named)
        if grant is not None and grant.target == target:
            grants[named] = grant
        elif grant is not None and differences.is_known(grant, role, found, now):
            elsewhere.add(role.oid)
    active = [g for g in grants.values() if g.status is model.GrantStatus.ACTIVE]
    return differences.Recorded(
        grants=grants,
        carries={g.id: _carried(kept, engine, g.id) for g in active},
        elsewhere=frozenset(elsewhere),
    )


def _carried(kept: store.Store, engine: engines_.Engine, grant_id: str) -> str:
    """The lasting role of what was decided; empty when that is not to be read any more."""
    try:
        return engine.carries(catalogs.scope_from_json(kept.request(grant_id).scope))
    except (errors.NotFound, target_errors.InvalidScope, LookupError, TypeError, ValueError):
        return ""


def _ended(
    engine: engines_.Engine,
    recorded: differences.Recorded,
    survey: spec.Survey,
    finding: Finding,
    now: datetime,
) -> Finding:
    """End what should be over, by the record or by its own deadline; tell what came of it.

    Of an orphan nothing is to stay. Any other is only shut: what it did is still to be read, and its
    end recorded, by whoever ends grants.
    """
    role = next((r for r in survey.managed if r.name == finding.role), None)
    if role is None or not differences.is_ours_to_end(role):
        return finding
    if not differences.is_to_end(finding, role, recorded, survey, now):
        return finding
    try:
        engine.close(role.role)
        removed = engine.remove(role.role) if finding.kind is Kind.ORPHAN else None
    except target_errors.DbGrantsError as error:
        return replace(finding, done=f"Not ended yet: {error}")
    if removed is None:
        return replace(finding, done="Access ended.")
    left = ", ".join(removed.residue)
    return replace(finding, done=f"Access ended; left: {left}" if left else "Ended; nothing left.")
