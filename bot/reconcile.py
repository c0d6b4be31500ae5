"""The record against reality, both ways, for every target.

`compare` is pure: what the record says, what a survey of the server found, findings out. What is not
ours is only told of. Of what is ours, one thing is done here: a role whose time is over and that no
live grant answers for is ended; everything else is for `ending`, or for people, who get a proposal.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import ending, errors, model, notices, store
from bot.audit import findings
from bot.audit.findings import Finding, Kind
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import naming, spec, sweep

_log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=5)
SETTLE = timedelta(minutes=1)  # what changed more recently may be seen half way
SKEW = timedelta(seconds=30)
_LOOKS_UNTIL_GONE = 2  # one that fails may be a restart
_MOST = 5000
_CONNECTIONS = spec.GrantSpec.__dataclass_fields__["connection_limit"].default
_STATE = "reconcile:"  # followed by the target's name
_TURN = "reconcile.turn:"  # followed by the target's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the record says of one target."""

    grants: Mapping[str, model.Grant]  # by id: the live ones, and those that roles name
    carries: Mapping[str, str]  # scope role by grant id


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an earlier look at a target saw."""

    looked: str = ""  # ISO time
    identifier: str = ""
    timeline: int = 0
    written: int = 0
    unseen: int = 0  # looks in a row that found nobody


def compare(
    target: str, recorded: Recorded, found: spec.Survey, before: Seen, now: datetime
) -> tuple[Finding, ...]:
    """Every difference. What has just changed is left for the next look."""
    return (
        *_server(target, found, before, now),
        *(
            finding
            for role in found.managed
            for finding in _role(target, recorded, role, found, now)
        ),
        *(_lookalike(target, role) for role in found.lookalikes),
        *_missing(target, recorded, found, now),
    )


def unseen(target: str, live: int, why: str) -> tuple[Finding, ...]:
    """The target cannot be looked at; `live` grants are there."""
    proposal = f"Bring it back. Live there, and not to be ended until then: {live}."
    if not live:
        proposal = "Bring it back, or take it out of the catalog. No grant is live there."
    return (Finding(kind=Kind.GONE, target=target, what=_unended(why), proposal=proposal),)


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

    def _claim(self, target: str) -> Seen | None:
        """What the last look saw, if it is our turn: of several replicas only one gets it."""
        before, now = self._before(target), self._clock.now()
        if before.looked and now - datetime.fromisoformat(before.looked) < EVERY:
            return None
        if not self._store.take_turn(_TURN + target, now, EVERY):
            return None
        self._remember(target, replace(before, looked=now.isoformat()))
        return before

    def _before(self, target: str) -> Seen:
        kept = self._store.get(_STATE + target)
        return Seen(**json.loads(kept)) if kept else Seen()

    def _remember(self, target: str, seen: Seen) -> None:
        self._store.put(_STATE + target, json.dumps(asdict(seen)))

    def _do(
        self, target: str, before: Seen, *, looks_until_gone: int = _LOOKS_UNTIL_GONE
    ) -> tuple[Finding, ...]:
        """First the server, then the record: a grant is recorded before its role is made."""
        engine, now = self._engines[target], self._clock.now()
        try:
            survey = engine.survey()
        except target_errors.DbGrantsError as error:
            live = self._store.grants(status=model.LIVE_GRANT, target=target, limit=_MOST)
            gone = before.unseen + 1 >= looks_until_gone
            found = unseen(target, len(live), str(error)) if gone else ()
            after = replace(before, looked=now.isoformat(), unseen=before.unseen + 1)
        else:
            recorded = _recorded(self._store, engine, target, survey.managed)
            found = compare(target, recorded, survey, before, now)
            found = tuple(_ended(engine, recorded, survey, finding) for finding in found)
            after = Seen(
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
    kept: store.Store, engine: engines_.Engine, target: str, roles: tuple[spec.FoundRole, ...]
) -> Recorded:
    grants = {g.id: g for g in kept.grants(status=model.LIVE_GRANT, target=target, limit=_MOST)}
    for role in roles:
        named = role.grant_id or role.name.removeprefix("jit_")
        if named not in grants and (grant := kept.find_grant(named)) and grant.target == target:
            grants[named] = grant
    active = [g for g in grants.values() if g.status is model.GrantStatus.ACTIVE]
    return Recorded(grants=grants, carries={g.id: _carried(kept, engine, g.id) for g in active})


def _carried(kept: store.Store, engine: engines_.Engine, grant_id: str) -> str:
    return engine.carries(catalogs.scope_from_json(kept.request(grant_id).scope))


def _server(target: str, found: spec.Survey, before: Seen, now: datetime) -> Iterator[Finding]:
    """Whether it is the server we knew, in the state we left it in."""
    skew = found.at - now
    if abs(skew) > SKEW:
        where = "ahead of" if skew > timedelta(0) else "behind"
        yield Finding(
            kind=Kind.CLOCK,
            target=target,
            what=f"its clock is more than {SKEW.total_seconds():.0f} s {where} ours",
            proposal="Keep both machines on network time: logins stop by its clock, not by ours.",
        )
    if not found.prepared:
        yield Finding(
            kind=Kind.GONE,
            target=target,
            what="its role jit_managed is gone",
            proposal=f"Run what `jit bootstrap {target}` prints; until then nothing is granted.",
        )
    what = _returned(found, before) if before.identifier else ""
    if what:
        yield Finding(
            kind=Kind.RESTORED,
            target=target,
            what=what,
            proposal=(
                "If that was meant, nothing is to be done: roles that came back are ended, grants"
                " whose role is gone are listed. If not, find out who did it."
            ),
        )


def _returned(found: spec.Survey, before: Seen) -> str:
    if found.identifier != before.identifier:
        return f"another server answers in its place (system identifier {found.identifier})"
    if found.written < before.written:
        return "it is in an older state than at the last look: restored from a backup"
    if found.timeline != before.timeline:
        return f"it is on timeline {found.timeline}: promoted, or recovered from a backup"
    return ""


def _role(
    target: str, recorded: Recorded, role: spec.FoundRole, found: spec.Survey, now: datetime
) -> Iterator[Finding]:
    grant = recorded.grants.get(role.grant_id or role.name.removeprefix("jit_"))
    if grant is not None and _unsettled(grant, now):
        return
    if grant is None or grant.status not in model.LIVE_GRANT:
        yield _orphan(target, grant, role, found)
        return
    if role.name != grant.role_name or grant.role_oid not in (None, role.oid):
        yield _drift(target, grant, role, "it is not the role that was made for this grant")
    elif _usable(role) and _is_over(grant, now):
        yield _overdue(target, grant, role)
    elif grant.status is model.GrantStatus.ACTIVE:
        for what in _changes(grant, role, recorded.carries[grant.id]):
            yield _drift(target, grant, role, what)


def _unsettled(grant: model.Grant, now: datetime) -> bool:
    moments = (
        grant.created_at,
        grant.activated_at,
        grant.revoking_since,
        grant.access_ended_at,
        grant.cleaned_up_at,
    )
    return any(moment is not None and now - moment < SETTLE for moment in moments)


def _usable(role: spec.FoundRole) -> bool:
    return role.can_login or role.sessions > 0


def _is_over(grant: model.Grant, now: datetime) -> bool:
    ended = grant.access_ended_at is not None
    return ended or ending.due_since(grant) + ending.CLOSED_WITHIN < now


def _orphan(
    target: str, grant: model.Grant | None, role: spec.FoundRole, found: spec.Survey
) -> Finding:
    over = sweep.deadline(role)
    until = f"{over:%Y-%m-%d %H:%M} UTC" if over else ""
    what = f"the record knows no grant for it; it carries the deadline {until or 'none'}"
    proposal = f"If no other bot works on this server, end it: DROP ROLE {role.name}."
    if over and over > found.at:
        proposal += f" Otherwise it is ended when its deadline has passed, {until}."
    if grant is not None:
        what = f"its grant is {grant.status.value}, and yet it exists"
        proposal = "It is ended now. It came back with a restored backup, or was made by hand."
    return Finding(
        kind=Kind.ORPHAN,
        target=target,
        role=role.name,
        grant_id=grant.id if grant else role.grant_id,
        what=what,
        proposal=proposal,
    )


def _overdue(target: str, grant: model.Grant, role: spec.FoundRole) -> Finding:
    how = "it can log in" if role.can_login else "a session of it is open"
    recorded = grant.access_ended_at is not None
    what = f"{how} although its access {'is recorded as ended' if recorded else 'should be over'}"
    return Finding(
        kind=Kind.OVERDUE,
        target=target,
        role=role.name,
        grant_id=grant.id,
        what=what,
        proposal=f"It is being ended without end. By hand: ALTER ROLE {role.name} NOLOGIN,"
        " then pg_terminate_backend for its sessions.",
    )


def _changes(grant: model.Grant, role: spec.FoundRole, carried: str) -> Iterator[str]:
    """How the role of an active grant differs from how it was made, for people."""
    extra = sorted(set(role.member_of) - {carried})
    if role.powers:
        yield f"it has {', '.join(role.powers)}"
    if extra:
        yield f"it is a member of {', '.join(extra)} as well"
    if carried not in role.member_of:
        yield f"it is no longer a member of {carried}"
    if role.members:
        yield f"{', '.join(role.members)} may act as it"
    if role.privileges:
        yield "it was given privileges directly"
    if not role.can_login:
        yield "it can no longer log in"
    if role.connection_limit != _CONNECTIONS:
        yield f"it may hold {role.connection_limit} connections instead of {_CONNECTIONS}"
    if {role.valid_until, role.expires_at} != {grant.expires_at}:
        yield "its deadline is not the recorded one"


def _drift(target: str, grant: model.Grant, role: spec.FoundRole, what: str) -> Finding:
    return Finding(
        kind=Kind.DRIFTED,
        target=target,
        role=role.name,
        grant_id=grant.id,
        what=what,
        proposal=f"Somebody changed it by hand. Undo that, or end it: jit revoke {grant.id}.",
    )


def _lookalike(target: str, role: spec.FoundRole) -> Finding:
    return Finding(
        kind=Kind.LOOK_ALIKE,
        target=target,
        role=role.name,
        what="it is named like a role of ours and does not carry our mark",
        proposal="It is not touched. If nobody knows it, drop it by hand.",
    )


def _missing(
    target: str, recorded: Recorded, found: spec.Survey, now: datetime
) -> Iterator[Finding]:
    there = {role.oid for role in found.managed}
    for grant in recorded.grants.values():
        active = grant.status is model.GrantStatus.ACTIVE
        if active and grant.role_oid not in there and not _unsettled(grant, now):
            yield Finding(
                kind=Kind.MISSING,
                target=target,
                role=grant.role_name,
                grant_id=grant.id,
                what="its grant is active and the role is gone",
                proposal=f"Nobody has this access. Close the record: jit revoke {grant.id}.",
            )


def _ended(
    engine: engines_.Engine, recorded: Recorded, survey: spec.Survey, finding: Finding
) -> Finding:
    """End an orphan whose time is over, by the record or by its own deadline; tell what came of it."""
    role = next((r for r in survey.managed if r.name == finding.role), None)
    if finding.kind is not Kind.ORPHAN or role is None or not naming.is_legal(role.name):
        return finding
    known_over = finding.grant_id in recorded.grants
    if not known_over and role not in sweep.overdue(survey):
        return finding
    try:
        engine.close(role.role)
        removed = engine.remove(role.role)
    except target_errors.DbGrantsError as error:
        return replace(finding, done=f"Not ended yet: {error}")
    left = ", ".join(removed.residue)
    return replace(finding, done=f"Access ended; left: {left}" if left else "Ended; nothing left.")


def _unended(why: str) -> str:
    return f"it cannot be looked at: {why.rstrip('.')}"
