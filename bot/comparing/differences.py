"""The record against reality, compared: what each difference is, means, and asks of a person. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import model
from bot.audit.findings import Finding, Kind
from bot.comparing import remedies
from bot.ending import phases
from db_grants import naming, spec, sweep

SETTLE = timedelta(minutes=1)  # what changed more recently may be seen half way
Change = tuple[str, str]  # what is different, and the command that undoes it; "" where none does


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the record says of one target."""

    grants: Mapping[str, model.Grant]  # by id: the live ones, and those that roles name
    carries: Mapping[str, str]  # scope role by grant id; empty where the request is not readable
    elsewhere: frozenset[int] = frozenset()  # OIDs of another target's roles, see `is_known`


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
    """Every difference. What has just changed is left for the next look.

    Without its mark nothing on a server can be told apart, so then only that is told.
    """
    if not found.prepared:
        return (_unprepared(target, recorded), *_server(target, found, before))
    managed = [role for role in found.managed if role.oid not in recorded.elsewhere]
    lookalikes = [role for role in found.lookalikes if role.oid not in recorded.elsewhere]
    there = {role.oid for role in (*managed, *lookalikes)}
    return (
        *_server(target, found, before),
        *(one for role in managed for one in _role(target, recorded, role, found, now)),
        *(one for role in lookalikes for one in _unmarked(target, recorded, role, now)),
        *_missing(target, recorded, there, found.identifier, now),
    )


def grant_of(role: spec.FoundRole) -> str:
    """The id of the grant whose role it says it is: by the note on it, or else by its name."""
    return role.grant_id or role.name.removeprefix("jit_")


def is_known(grant: model.Grant, role: spec.FoundRole, found: spec.Survey, now: datetime) -> bool:
    """Whether this live grant answers for that role: roles are of a server, grants of a database.

    So each of two targets on one server sees the roles of both; how one is, its own target tells. A
    role past its own deadline is nobody's: it ends, whatever the record says of it.
    """
    same = role.name == grant.role_name and grant.role_oid in (None, role.oid)
    here = grant.server in (None, found.identifier)
    return same and here and grant.status in model.LIVE_GRANT and not is_over(role, found, now)


def unseen(target: str, live: int, why: str) -> tuple[Finding, ...]:
    """The target cannot be looked at; `live` grants are there."""
    proposal = f"Bring it back. Live there, and not to be ended until then: {live}."
    if not live:
        proposal = "Bring it back, or take it out of the catalog. No grant is live there."
    what = f"it cannot be looked at: {why.rstrip('.')}"
    tells = f"{proposal} What the bot sees:"
    return (Finding(kind=Kind.GONE, target=target, what=what, proposal=tells, command="jit check"),)


def _unprepared(target: str, recorded: Recorded) -> Finding:
    live = sum(grant.status in model.LIVE_GRANT for grant in recorded.grants.values())
    return Finding(
        kind=Kind.GONE,
        target=target,
        what=f"its role {naming.BOOKKEEPING} is gone, by which the bot knows its roles",
        proposal=(
            f"Nothing can be granted or ended there until it is back; live there: {live}."
            " Run in its database, as a superuser, what this prints; then look again, for roles"
            " may have lost their mark:"
        ),
        command=f"jit bootstrap {target}",
    )


def _server(target: str, found: spec.Survey, before: Seen) -> Iterator[Finding]:
    """Whether it is the server we knew, in the state we left it in."""
    what = _returned(found, before) if before.identifier else ""
    if what:
        yield Finding(
            kind=Kind.RESTORED,
            target=target,
            what=what,
            proposal=(
                "If that was meant, nothing is to be done: roles that came back are ended, grants"
                " whose role is gone are listed. If not, find out who did it. What differs now:"
            ),
            command=f"jit reconcile {target}",
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
    grant = recorded.grants.get(grant_of(role))
    if grant is not None and _unsettled(grant, now):
        return
    if grant is None or grant.status not in model.LIVE_GRANT:
        yield _orphan(target, grant, role, found)
    elif grant.role_oid not in (None, role.oid):
        yield _another(target, grant, role)
    elif role.name != grant.role_name:
        what = f"it is the role of a grant under another name; it was made as {grant.role_name}"
        yield _drift(target, grant, role, (what, remedies.rename(role.name, grant.role_name)))
    elif _usable(role) and (_is_over(grant, now) or is_over(role, found, now)):
        yield _overdue(target, grant, role, now)
    elif grant.status is model.GrantStatus.ACTIVE:
        for change in _changes(grant, role, recorded.carries[grant.id]):
            yield _drift(target, grant, role, change)


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
    return ended or phases.due_since(grant) + phases.CLOSED_WITHIN < now


def is_over(role: spec.FoundRole, found: spec.Survey, now: datetime) -> bool:
    """Whether it is past the deadline it carries itself, by its server's clock and by ours.

    No deadline is ever put off, so whatever the record says by now, access should be over.
    """
    over = sweep.deadline(role)
    return over is not None and over + phases.CLOSED_WITHIN < min(found.at, now)


def is_ours_to_end(role: spec.FoundRole) -> bool:
    """Whether it may be ended by us at all: named as we name, and given into our hands."""
    return role.administered and naming.is_legal(role.name)


def is_to_end(
    finding: Finding, role: spec.FoundRole, recorded: Recorded, found: spec.Survey, now: datetime
) -> bool:
    """Whether a role that a finding is about should have no access any more."""
    if finding.kind is Kind.ORPHAN:
        return finding.grant_id in recorded.grants or role in sweep.overdue(found)
    changed = finding.kind is Kind.DRIFTED and is_over(role, found, now)
    return changed or finding.kind is Kind.OVERDUE


def _orphan(
    target: str, grant: model.Grant | None, role: spec.FoundRole, found: spec.Survey
) -> Finding:
    what, proposal, command = _what_orphan(target, grant, role, found)
    return Finding(
        kind=Kind.ORPHAN,
        target=target,
        role=role.name,
        grant_id=grant.id if grant else role.grant_id,
        what=what,
        proposal=proposal,
        command=command,
    )


def _what_orphan(
    target: str, grant: model.Grant | None, role: spec.FoundRole, found: spec.Survey
) -> tuple[str, str, str]:
    over, root = sweep.deadline(role), f"as a superuser of {target}"
    until = f"{over:%Y-%m-%d %H:%M} UTC" if over else ""
    if not naming.is_legal(role.name):
        what = "it carries our mark, and its name is none that we give"
        say = f"The bot leaves it alone. If it is somebody's own role, take the mark away, {root}:"
        return what, say, remedies.unmark(role.name)
    if not role.administered:
        what = "it carries our mark and the bot has no power over it: made by hand, by a superuser"
        say = f"The bot cannot end it; who has its password keeps it. If nobody may, {root}:"
        return what, say, remedies.drop(role.name)
    if grant is not None:
        what = f"its grant is {grant.status.value}, and yet it exists"
        return what, "It is ended now. It came back with a backup, or was made by hand.", ""
    what = f"the record knows no grant for it; it carries {'the deadline ' if over else 'no deadline'}{until}"
    if over is None or over <= found.at:
        return what, "It is ended now.", ""
    say = (
        f"Another bot's, or older than the record. The bot ends it at its deadline, {until}."
        f" If it is to end before, {root}:"
    )
    return what, say, remedies.drop(role.name)


def _overdue(target: str, grant: model.Grant, role: spec.FoundRole, now: datetime) -> Finding:
    how = "it can log in" if role.can_login else "a session of it is open"
    why = "its access should be over"
    if grant.access_ended_at is not None:
        why = "its access is recorded as ended"
    elif not _is_over(grant, now):
        why = "its own deadline has passed; the record was changed by hand, to a later one"
    what = f"{how} although {why}"
    return Finding(
        kind=Kind.OVERDUE,
        target=target,
        role=role.name,
        grant_id=grant.id,
        what=what,
        proposal=f"The bot keeps trying to end it. By hand, as a superuser of {target}:",
        command=remedies.shut(role.name),
    )


def _changes(grant: model.Grant, role: spec.FoundRole, carried: str) -> Iterator[Change]:
    """How the role of an active grant differs from how it was made, and what undoes it."""
    extra, me = sorted(set(role.member_of) - {carried}) if carried else [], role.name
    if role.powers:
        without = [f"NO{power}" for power in role.powers]
        yield f"it has {', '.join(role.powers)}", remedies.alter(me, *without)
    if extra:
        yield f"it is a member of {', '.join(extra)} as well", remedies.leave(me, extra)
    if not carried:
        yield "what was decided for it cannot be read in the record any more", ""
    elif carried not in role.member_of:
        yield f"it is no longer a member of {carried}", ""
    if role.members:
        yield f"{', '.join(role.members)} may act as it", remedies.expel(me, role.members)
    if role.privileges:
        yield "it was given privileges directly", "" if role.owned else remedies.strip(me)
    if not role.can_login:
        yield "it can no longer log in", remedies.alter(me, "LOGIN")
    if role.connection_limit != spec.CONNECTIONS:
        what = f"it may hold {role.connection_limit} connections instead of {spec.CONNECTIONS}"
        yield what, remedies.alter(me, f"CONNECTION LIMIT {spec.CONNECTIONS}")
    if {role.valid_until, role.expires_at} != {grant.expires_at}:
        noted = role.expires_at == grant.expires_at
        undo = remedies.until(me, grant.expires_at) if noted else ""
        yield "its deadline is not the recorded one", undo


def _drift(target: str, grant: model.Grant, role: spec.FoundRole, change: Change) -> Finding:
    """`jit revoke` ends it as well, unless it has powers: such a role the bot does not touch."""
    what, undo = change
    end = remedies.revoke(grant.id)
    proposal = f"Somebody changed it by hand. Undo that, as a superuser of {target}:"
    if role.powers:
        proposal = (
            f"The bot touches no role with such powers. Take them away, as a superuser of {target}:"
        )
    elif not undo:
        proposal = "Somebody changed it by hand. End it; it can be asked for again:"
    elif role.name == grant.role_name:
        proposal = f"Somebody changed it by hand. End it ({end}), or undo that, as a superuser of {target}:"
    return Finding(
        kind=Kind.DRIFTED,
        target=target,
        role=role.name,
        grant_id=grant.id,
        what=what,
        proposal=proposal,
        command=undo or end,
    )


def _another(target: str, grant: model.Grant, role: spec.FoundRole) -> Finding:
    return Finding(
        kind=Kind.DRIFTED,
        target=target,
        role=role.name,
        grant_id=grant.id,
        what="it is not the role that was made for this grant, though it says so",
        proposal=(
            f"Made by hand: the bot leaves it alone. End it, as a superuser of {target}, and then"
            f" the grant ({remedies.revoke(grant.id)}):"
        ),
        command=remedies.drop(role.name),
    )


def _unmarked(
    target: str, recorded: Recorded, role: spec.FoundRole, now: datetime
) -> Iterator[Finding]:
    """A role without our mark: one of ours that lost it, or one that only looks like ours."""
    held = (grant for grant in recorded.grants.values() if grant.role_oid == role.oid)
    grant = next(held, None)
    if grant is None or grant.status not in model.LIVE_GRANT:
        yield _lookalike(target, role)
    elif not _unsettled(grant, now):
        yield Finding(
            kind=Kind.DRIFTED,
            target=target,
            role=role.name,
            grant_id=grant.id,
            what=f"it lost our mark, {naming.BOOKKEEPING}: its holder keeps the access",
            proposal=(
                "The bot touches no role without the mark, not even to end it. Give it back,"
                f" as a superuser of {target}; it then ends on time like any other:"
            ),
            command=remedies.mark(role.name),
        )


def _lookalike(target: str, role: spec.FoundRole) -> Finding:
    return Finding(
        kind=Kind.LOOK_ALIKE,
        target=target,
        role=role.name,
        what="it is named like a role of ours and does not carry our mark",
        proposal=f"The bot leaves it alone. If nobody knows it, end it, as a superuser of {target}:",
        command=remedies.drop(role.name),
    )


def _missing(
    target: str, recorded: Recorded, there: set[int], here: str, now: datetime
) -> Iterator[Finding]:
    for grant in recorded.grants.values():
        active = grant.status is model.GrantStatus.ACTIVE
        if not active or grant.role_oid in there or _unsettled(grant, now):
            continue
        if grant.server not in (None, here):
            yield _elsewhere(target, grant, here)
        else:
            yield Finding(
                kind=Kind.MISSING,
                target=target,
                role=grant.role_name,
                grant_id=grant.id,
                what="its grant is active and the role is gone",
                proposal="Nobody has this access. Close the record; it can be asked for again:",
                command=remedies.revoke(grant.id),
            )


def _elsewhere(target: str, grant: model.Grant, here: str) -> Finding:
    return Finding(
        kind=Kind.MISSING,
        target=target,
        role=grant.role_name,
        grant_id=grant.id,
        what=f"its grant is active on another server ({grant.server}) than answers now ({here})",
        proposal=(
            "Somebody may have this access there, and it cannot be ended from here. Let the target's"
            " URL name that server again, and restart the bot."
        ),
    )
