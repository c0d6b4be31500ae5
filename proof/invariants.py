"""I1 to I8 of docs/architecture.md as one check, for the end of any test, fault or attack.

Each invariant is a function of what was read (see `reality`) that yields every violation in words;
`check` raises with all of them. Nothing here asks the bot: it compares record, servers and messages.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot import model, retry
from bot.ending import phases
from bot.telling import notices
from bot.watching import ringing
from proof.reality import Record, Role, Said, Target, Transcript

FINAL = frozenset(model.GrantStatus) - model.LIVE_GRANT
LIMIT = timedelta(seconds=60)  # from the deadline on: no access, or an alarm that repeats
_SLACK = timedelta(seconds=5)  # between a sweep and the moment it looked at
_OF_ENDS = {notices.Alarm.OVERDUE, notices.Alarm.UNCLEAN, notices.Alarm.STRANDED}
_APPROVE, _DENY = model.Answer.APPROVE, model.Answer.DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read. `earlier`: the record before the servers were looked at, if things move."""

    record: Record
    targets: Sequence[Target]
    transcript: Transcript = field(default_factory=Transcript)
    secrets: Collection[str] = ()
    earlier: Record | None = None
    before: Sequence[Target] = ()  # the servers as they were before the test
    scoped: Callable[[str, Mapping[str, object]], frozenset[str]] | None = None
    logs: Collection[Path] = ()
    witness: tuple[int, str] | None = None  # a chain head that was seen

    @property
    def then(self) -> Record:
        """The record as it was when the servers were read, or before."""
        return self.earlier or self.record


def check(
    record: Record,
    targets: Sequence[Target],
    transcript: Transcript,
    secrets: Collection[str] = (),
    **more: object,
) -> None:
    """Raise AssertionError that tells every violation; `more` are the other fields of Evidence."""
    seen = Evidence(
        record=record,
        targets=targets,
        transcript=transcript,
        secrets=secrets,
        **more,  # type: ignore[arg-type]
    )
    wrong = [f"{name}: {each}" for name, holds in INVARIANTS.items() for each in holds(seen)]
    assert not wrong, f"{len(wrong)} violations:\n" + "\n".join(wrong)


def decided(seen: Evidence) -> Iterator[str]:
    """I1: no grant without a recorded decision on exactly that scope, by others than who asked."""
    for story in seen.record.stories:
        request, grant = story.request, story.grant
        if grant is None:
            continue
        if request.status is not model.RequestStatus.APPROVED:
            yield f"{grant.id} has a grant and is {request.status}"
        if request.verdict is model.Verdict.DENY:
            yield f"{grant.id} has a grant that policy denied"
        if request.decided_at is None or request.decided_at > (
            grant.activated_at or seen.record.now
        ):
            yield f"{grant.id} was active before it was decided"
        if (grant.target, grant.requester_id) != (request.target, request.requester_id):
            yield f"{grant.id} is not the grant that was asked for"
        yield from _decision(story)
    yield from _scopes(seen)


def _decision(story: model.Story) -> Iterator[str]:
    request = story.request
    if request.verdict is model.Verdict.AUTO_APPROVE:
        if request.decided_by is not None or not request.rule:
            yield f"{request.id} was approved automatically by {request.decided_by or 'no rule'}"
        return
    approvals = [review for review in story.reviews if review.answer is _APPROVE]
    people = {review.reviewer_id for review in approvals}
    if request.requester_id in people | {request.decided_by}:
        yield f"{request.id} was decided by its own requester"
    if len(people) < request.needs:
        yield f"{request.id} has {len(people)} of {request.needs} approvals"
    if any(review.answer is _DENY for review in story.reviews):
        yield f"{request.id} was denied by somebody and granted"
    late = [r for r in approvals if not request.created_at <= r.at < request.decide_by]
    if late:
        yield f"{request.id} was approved outside its time by {late[0].reviewer_name}"


def _scopes(seen: Evidence) -> Iterator[str]:
    """A role can do what was decided, or (on its way in or out) nothing; never anything else."""
    if seen.scoped is None:
        return
    scopes = {s.request.id: s.request.scope for s in seen.record.stories}
    for target, role, id_ in _roles(seen):
        if role.holds and id_ in scopes:
            more = role.holds - seen.scoped(target.name, scopes[id_])
            if more:
                yield f"{role.name} can {', '.join(sorted(more)[:5])}, which nobody decided"
        if role.powers:
            yield f"{role.name} has {role.powers}"


def single(seen: Evidence) -> Iterator[str]:
    """I2: at most one outcome a request, one grant a request, one role a grant."""
    finals = {f"request.{s}" for s in model.RequestStatus if s is not model.RequestStatus.PENDING}
    ends = {f"grant.{status}" for status in FINAL}
    for story in seen.record.stories:
        happened = Counter(seen.record.types(story.request.id))
        outcomes = {name: happened[name] for name in finals if happened[name]}
        if sum(outcomes.values()) > 1:
            yield f"{story.request.id} was decided more than once: {outcomes}"
        for name in ("grant.active", "grant.revoking", "grant.access_ended"):
            if happened[name] > 1:
                yield f"{story.request.id}: {name} {happened[name]} times"
        if sum(happened[name] for name in ends) > 1:
            yield f"{story.request.id} ended more than once"
    names = Counter(grant.role_name for grant in seen.record.grants.values())
    yield from (f"{name} belongs to {n} grants" for name, n in names.items() if n > 1)
    oids = Counter((g.target, g.role_oid) for g in seen.record.grants.values() if g.role_oid)
    yield from (f"role {oid} belongs to {n} grants" for oid, n in oids.items() if n > 1)


def ended(seen: Evidence) -> Iterator[str]:
    """I3: past the deadline and the limit nobody can, or an alarm repeats; what is ended is ended."""
    roles = {id_: role for _, role, id_ in _roles(seen)}
    for grant in seen.then.grants.values():
        role = roles.get(grant.id)
        usable = role is not None and (role.can_login or role.sessions > 0)
        if grant.access_ended_at is not None and usable:
            yield f"access by {grant.role_name} is recorded as ended, and {_how(role)}"
        if grant.status in FINAL and role is not None:
            yield f"{grant.id} is {grant.status} and {grant.role_name} exists"
        held = usable or (role is not None and role.prepared > 0 and not _cleaning(seen, grant))
        over = seen.then.now > phases.due_since(grant) + LIMIT and grant.status in model.LIVE_GRANT
        if held and over and grant.activated_at and not _rings(grant, seen.then):
            yield f"{grant.role_name} should have ended {phases.due_since(grant)}, {_how(role)}, no alarm"
    for target in seen.targets:
        if target.ghosts:
            yield f"{target.ghosts} sessions on {target.name} belong to a role that is gone"


def _how(role: Role | None) -> str:
    if role is None:
        return "it is gone"
    can = "can log in" if role.can_login else "cannot log in"
    return f"it {can}, {role.sessions} sessions, {role.prepared} prepared"


def _cleaning(seen: Evidence, grant: model.Grant) -> bool:
    """Whether the door is shut and what was left behind is still within its own, longer limit."""
    ended_at = grant.access_ended_at
    return ended_at is not None and seen.then.now <= ended_at + phases.CLEANED_WITHIN + LIMIT


def _rings(grant: model.Grant, record: Record) -> bool:
    """Whether an alarm about its target is open, and repeated until somebody acknowledges it."""
    again = ringing.REPEAT_EVERY + LIMIT
    about = [each for each in record.ringing if each.condition.target == grant.target]
    said = [each for each in about if each.acknowledged_at or record.now - each.said_at < again]
    return any(each.condition.kind in _OF_ENDS for each in said)


def matched(seen: Evidence) -> Iterator[str]:
    """I4: marked roles are the live grants, and what is not ours is as it was."""
    known = seen.then.grants | seen.record.grants
    for target, role, id_ in _roles(seen):
        live = [r.grants[id_].status in model.LIVE_GRANT for r in _both(seen) if id_ in r.grants]
        if not any(live):
            status = known[id_].status if id_ in known else "in no record"
            yield f"{role.name} on {target.name} is an orphan: its grant is {status}"
        elif known[id_].target != target.name:
            yield f"{role.name} is on {target.name}, its grant on {known[id_].target}"
    there = {(target.name, id_) for target, _, id_ in _roles(seen)}
    looked = {target.name for target in seen.targets}
    for grant in seen.record.grants.values():
        active = all(_status(each, grant.id) is model.GrantStatus.ACTIVE for each in _both(seen))
        if active and grant.target in looked and (grant.target, grant.id) not in there:
            yield f"{grant.id} is active and {grant.role_name} does not exist"
    yield from _altered(seen)


def _altered(seen: Evidence) -> Iterator[str]:
    now = {target.name: target.others for target in seen.targets}
    for target in seen.before:
        for name, state in target.others.items():
            if target.name in now and now[target.name].get(name) != state:
                yield f"{name} on {target.name} is not ours and was altered"


def _both(seen: Evidence) -> tuple[Record, ...]:
    return (seen.then, seen.record)


def _status(record: Record, id_: str) -> model.GrantStatus | None:
    return record.grants[id_].status if id_ in record.grants else None


def audited(seen: Evidence) -> Iterator[str]:
    """I5: every change has its event in the same transaction, and the chain verifies."""
    if not seen.record.chain.ok:
        yield f"event {seen.record.chain.bad_seq}: {seen.record.chain.problem}"
    if seen.witness is not None:
        held = {event.seq: event.hash for event in seen.record.events}
        seq, head = seen.witness
        if seq and held.get(seq) != head:
            yield f"the chain no longer holds event {seq}, which was seen"
    for story in seen.record.stories:
        yield from _told(seen.record, story)


def _told(record: Record, story: model.Story) -> Iterator[str]:
    request, grant = story.request, story.grant
    events = record.about(request.id)
    types = Counter(event.type for event in events)
    wanted: dict[str, int] = Counter(f"review.{r.answer}" for r in story.reviews)
    wanted["request.submitted"] = 1
    if request.status is not model.RequestStatus.PENDING:
        wanted[f"request.{request.status}"] = 1
        at = next((e.at for e in events if e.type == f"request.{request.status}"), None)
        if at != request.decided_at:
            yield f"{request.id} was decided {request.decided_at}, and its event says {at}"
    if grant is not None:
        wanted |= _steps(grant)
        moves = [e.type.removeprefix("grant.") for e in events if e.type.startswith("grant.")]
        yield from _path(grant, [move for move in moves if move in set(model.GrantStatus)])
    for name, count in wanted.items():
        if types[name] != count:
            yield f"{request.id}: {count} of {name} happened, {types[name]} recorded"


def _steps(grant: model.Grant) -> dict[str, int]:
    steps = {}
    if grant.status is not model.GrantStatus.ACTIVATING:
        steps[f"grant.{grant.status}"] = 1
    if grant.activated_at is not None:
        steps["grant.active"] = 1
    if grant.cause is not None:
        steps["grant.revoking"] = 1
    if grant.access_ended_at is not None:
        steps["grant.access_ended"] = 1
    return steps | {"credential.revealed": grant.reveals}


def _path(grant: model.Grant, moves: list[str]) -> Iterator[str]:
    for was, is_ in itertools.pairwise(moves):
        first = was == is_ == model.GrantStatus.ACTIVATING  # decided, and its first attempt
        if not first and (was, is_) not in model.GRANT_TRANSITIONS:
            yield f"{grant.id} went from {was} to {is_}"
    if moves[-1:] != [grant.status]:
        yield f"{grant.id} is {grant.status}, and the last event says {moves[-1:]}"


def discreet(seen: Evidence) -> Iterator[str]:
    """I6: no secret in the record, the logs, the messages or any process's arguments."""
    places = {
        "the state database": seen.record.dump,
        "what was said": seen.transcript.raw,
        "process arguments": _arguments(),
    } | {str(path): path.read_text(errors="replace") for path in seen.logs}
    for where, text in places.items():
        for number, secret in enumerate(sorted(seen.secrets)):
            if secret and (secret in text or json.dumps(secret)[1:-1] in text):
                yield f"secret {number} ({secret[:4]}…) stands in {where}"


def _arguments() -> str:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(place.read_bytes().decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return "\n".join(found)


def doubtful(seen: Evidence) -> Iterator[str]:
    """I7: doubt refuses a grant and never stops an end: whatever must end is being ended."""
    record, longest = seen.record, retry.LONGEST + _SLACK
    for grant in record.grants.values():
        status, at = grant.status, grant.next_attempt_at
        if status is model.GrantStatus.ACTIVE and record.now > grant.expires_at + LIMIT:
            yield f"{grant.id} is active {record.now - grant.expires_at} after its deadline"
        if status is model.GrantStatus.REVOKING and at is not None and at > record.now + longest:
            yield f"{grant.id} is not tried again before {at}"
        if status is model.GrantStatus.ACTIVATING and record.now > grant.activate_by + LIMIT:
            yield f"{grant.id} is still being granted, after {grant.activate_by}"
        if status in {model.GrantStatus.ENDED, model.GrantStatus.REVOKED} and grant.residue:
            yield f"{grant.id} is {status} with something left: {grant.residue}"


# What a text claims, and the events of which one must stand in the record for it to be so.
_ENDINGS = frozenset({"grant.ended", "grant.revoked"})
_CLAIMS: tuple[tuple[str, frozenset[str]], ...] = (
    (r"Active until|is yours until|Live as\b|\bhas \S+ on \S+ until ", frozenset({"grant.active"})),
    (r"verified gone|Access ended and verified|no longer has ", _ENDINGS),
    (r"Access ended .*\(no session", frozenset({"grant.access_ended"})),
    (r"^Ended: ", frozenset({"grant.access_ended"})),
    (r"^Denied by|\bdenied your\b", frozenset({"request.denied"})),
    (r"^Withdrawn by|^You withdrew", frozenset({"request.cancelled"})),
    (r"^Nobody decided|^Lapsed, nobody", frozenset({"request.expired"})),
    (
        r"^Approved (by|automatically)|\bapproved (by|automatically)",
        frozenset({"request.approved"}),
    ),
    (r"^Nothing was granted: ", frozenset({"grant.activation_failed"})),
)


def truthful(seen: Evidence) -> Iterator[str]:
    """I8: no text claims what is not committed, or was not yet when it was said."""
    stories = {story.request.id: story for story in seen.record.stories}
    happened = {id_: {e.type: e.at for e in reversed(seen.record.about(id_))} for id_ in stories}
    for said in seen.transcript.said:
        if said.request_id in stories:
            story = stories[said.request_id]
            for claim, wanted in _claims(said, story):
                times = [at for type_, at in happened[story.request.id].items() if type_ in wanted]
                if not times:
                    yield f"{story.request.id}: {claim!r} was said, and no {sorted(wanted)} recorded"
                elif said.at is not None and said.at < min(times) - timedelta(milliseconds=1):
                    yield f"{story.request.id}: {claim!r} was said {min(times) - said.at} too early"
    summaries = Counter(
        s.request_id for s in seen.transcript.said if s.kind == "summary" and not s.at
    )
    yield from (f"{id_} has {n} summaries" for id_, n in summaries.items() if n > 1)


def _claims(said: Said, story: model.Story) -> Iterator[tuple[str, frozenset[str]]]:
    """Claims of our own words; what people wrote may claim anything."""
    text = said.text
    for words in (story.request.justification, story.request.comment or ""):
        text = text.replace(words, "…") if words else text
    for pattern, wanted in _CLAIMS:
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            yield found.group(), wanted


def _roles(seen: Evidence) -> Iterator[tuple[Target, Role, str]]:
    for target in seen.targets:
        for role in target.managed:
            yield target, role, role.name.removeprefix("jit_")


INVARIANTS: Mapping[str, Callable[[Evidence], Iterator[str]]] = {
    "I1": decided,
    "I2": single,
    "I3": ended,
    "I4": matched,
    "I5": audited,
    "I6": discreet,
    "I7": doubtful,
    "I8": truthful,
}
