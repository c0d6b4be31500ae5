"""Who may have what, decided from facts alone: no clock of its own, no network, no store.

Deny by default. An unknown fact counts against granting, never against ending. The same functions
drive the live hint in the request window, the submit and the click.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot import catalog as catalogs
from bot import errors, model
from bot.catalog import duration, reference, ticket
from bot.model import Facts as Facts  # noqa: PLC0414  policy.Facts is how callers know it

_HELD = frozenset({model.GrantStatus.ACTIVATING, model.GrantStatus.ACTIVE})
LONGEST_JUSTIFICATION = 1000  # characters
_NAMED_AT_MOST = 5
UNCONFIRMED = str(errors.IdentityUnknown())
UNASKED = "Could not ask Slack whether you may request this. Try again in a moment."


def evaluate(
    draft: model.Draft, catalog: catalogs.Catalog, facts: Facts, now: datetime
) -> model.Decision:
    """The verdict on a draft, with the rule that matched and the reasons in plain words."""
    if refused := _stranger(draft, facts.requester):
        return _deny(refused)
    if shut := closed(catalog):
        return _deny(shut, "entitlement")
    entitlement = catalog.entitlements.get(draft.entitlement)
    if entitlement is None or not _may_request(entitlement, facts):
        return _deny(_not_offered(draft, entitlement, facts), "entitlement")
    if shut := closed(catalog, entitlement.target):
        return _deny(shut, "entitlement")
    rule = catalog.rule_of(entitlement)
    wanted = draft.duration if draft.duration is not None else entitlement.default_duration
    if wrong := _field_errors(draft, entitlement, wanted):
        return _deny_fields(wrong, rule)
    return _decide(draft, catalog, facts, now)


def outlook(
    draft: model.Draft, catalog: catalogs.Catalog, facts: Facts, now: datetime
) -> model.Decision:
    """What would happen to a draft still being written: as `evaluate`, once it says what it is for.

    A justification not begun yet is no error here; what is there is judged as ever.
    """
    decision = evaluate(draft, catalog, facts, now)
    if draft.justification.strip() or set(decision.fields) != {"justification"}:
        return decision
    return _decide(draft, catalog, facts, now)


def offered(catalog: catalogs.Catalog, facts: Facts) -> tuple[catalogs.Entitlement, ...]:
    """What this person may request, in the catalog's order. Nothing when in doubt."""
    if facts.requester is None or facts.requester.refusal is not None or closed(catalog):
        return ()
    return tuple(e for e in catalog.entitlements.values() if _may_request(e, facts))


def is_unsure(catalog: catalogs.Catalog, facts: Facts) -> bool:
    """Whether there is something of which Slack did not tell if this person may request it."""
    who = facts.requester
    every = catalog.entitlements.values()
    return who is None or any(_among(who.id, each.requesters, facts) is None for each in every)


def closed(catalog: catalogs.Catalog, target: str | None = None) -> str | None:
    """Why nothing at all, or nothing on `target`, is granted just now; None: it is as ever.

    It is not for want of a rule: the bot's own set-up is broken. Ends go on.
    """
    where, why = "", catalog.unusable
    if not why and target is not None:
        where, why = f" on {target}", catalog.lost.get(target, "")
    if not why:
        return None
    return (
        f"Nothing{where} can be requested or approved just now: {why} An operator has to mend it."
    )


def may_review(
    person: model.Person | None, story: model.Story, catalog: catalogs.Catalog, facts: Facts
) -> str | None:
    """None when `person` may decide this request now; otherwise why not, in words for them.

    `person` and `facts` are to be read fresh at the click; `facts.requester` is who asked.
    """
    request = story.request
    if person is None:
        return UNCONFIRMED
    if person.refusal is not None or person.team_id != request.team_id:
        return "Only full members of this workspace can decide."
    entitlement = catalog.entitlements.get(request.entitlement)
    if entitlement is None:
        return f"{request.entitlement} is no longer offered, so nobody can decide this one."
    rule = catalog.rule_of(entitlement)
    if person.id == request.requester_id or _same(person, facts.requester):
        told = _names(_deciders(rule, facts, but=request.requester_id), facts, "and")
        return "You asked for this, so someone else has to decide." + _told(told)
    among = _among(person.id, rule.approvers, facts)
    if among is None:
        return UNCONFIRMED
    return None if among else _only(rule, facts, request.requester_id)


def may_revoke(
    person: model.Person | None, story: model.Story, catalog: catalogs.Catalog, facts: Facts
) -> str | None:
    """None when `person` may end this grant early; otherwise why not.

    Its requester may always, and so may whoever could decide it at submission or can now: doubt
    about Slack or a changed catalog never keeps access alive.
    """
    request = story.request
    if person is None:
        return UNCONFIRMED
    if person.id == request.requester_id:
        return None
    if person.refusal is not None or person.team_id != request.team_id:
        return "Only full members of this workspace can revoke."
    entitlement = catalog.entitlements.get(request.entitlement)
    rule = catalog.rule_of(entitlement) if entitlement else None
    if person.id in request.approvers or (rule and _among(person.id, rule.approvers, facts)):
        return None
    if rule is None:
        return "Only those who could decide this request can revoke it."
    return _only(rule, facts, request.requester_id, "revoke")


def called(ids: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """What to call these people in a list: first names where they tell them apart."""
    full = [names.get(person, person) for person in ids]
    first = [name.split()[0] if name.split() else name for name in full]
    return [f if first.count(f) == 1 else name for f, name in zip(first, full, strict=True)]


def _stranger(draft: model.Draft, requester: model.Person | None) -> str | None:
    """Why this account may ask for nothing at all, or None."""
    if requester is None or requester.id != draft.requester_id:
        return UNCONFIRMED
    if requester.refusal is not None:
        return f"You may not request this: {requester.refusal.value} cannot ask for access."
    return None


def _may_request(entitlement: catalogs.Entitlement, facts: Facts) -> bool:
    requester = facts.requester
    return requester is not None and bool(_among(requester.id, entitlement.requesters, facts))


def _not_offered(draft: model.Draft, entitlement: catalogs.Entitlement | None, facts: Facts) -> str:
    """One answer for what is unknown and what is not yours, so that names cannot be guessed."""
    if not draft.entitlement:
        return "Choose what you need."
    if entitlement and _among(draft.requester_id, entitlement.requesters, facts) is None:
        return UNASKED
    shown = duration.shown(draft.entitlement)
    return f"You may not request this: nothing called {shown} is offered to you."


def _field_errors(
    draft: model.Draft, entitlement: catalogs.Entitlement, wanted: timedelta
) -> dict[str, str]:
    """What is wrong, beside the field that is wrong."""
    checks = {
        "tables": _wrong_tables(draft, entitlement),
        "duration": _wrong_duration(wanted, entitlement),
        "justification": _wrong_justification(draft.justification, entitlement),
    }
    return {name: wrong for name, wrong in checks.items() if wrong}


def _wrong_tables(draft: model.Draft, entitlement: catalogs.Entitlement) -> str | None:
    strangers = [label for label in draft.tables if label not in entitlement.labels]
    if not strangers:
        return None
    return f"Not part of {entitlement.name}: {', '.join(map(duration.shown, strangers[:3]))}."


def _wrong_duration(wanted: timedelta, entitlement: catalogs.Entitlement) -> str | None:
    if wanted < timedelta(seconds=1):
        return "Ask for some time, like 30m."
    if wanted > entitlement.max_duration:
        return f"At most {duration.words(entitlement.max_duration)} for {entitlement.name}."
    return None


def _wrong_justification(text: str, entitlement: catalogs.Entitlement) -> str | None:
    if len(text) > LONGEST_JUSTIFICATION:
        return f"At most {LONGEST_JUSTIFICATION} characters, please."
    if entitlement.ticket is not None and ticket.find(entitlement.ticket, text) is None:
        like = entitlement.ticket_example
        return f"Write the ticket first, like {like}." if like else "Write the ticket first."
    if not text.strip():
        return "Say in a few words what it is for."
    if ticket.is_bare(entitlement.ticket, text):
        return "Say in a few words what it is for; a ticket alone does not tell."
    return None


def _decide(
    draft: model.Draft, catalog: catalogs.Catalog, facts: Facts, now: datetime
) -> model.Decision:
    """What becomes of a draft that is in order; whoever holds the same already is told so."""
    entitlement = catalog.entitlements[draft.entitlement]
    rule = catalog.rule_of(entitlement)
    wanted = draft.duration if draft.duration is not None else entitlement.default_duration
    decision = _by_rule(rule, entitlement, facts, wanted)
    held = _held(draft, entitlement, facts, now)
    if held is None or held.grant is None or decision.verdict is model.Verdict.DENY:
        return decision
    return replace(decision, reasons=(*decision.reasons, _held_already(held.grant, facts, now)))


def _held(
    draft: model.Draft, entitlement: catalogs.Entitlement, facts: Facts, now: datetime
) -> model.Story | None:
    """What they hold, or are being granted, that gives all this; the one that lasts longest."""
    scope = catalogs.scope_of(entitlement, draft.tables)
    found = [
        (story.grant.expires_at, story)
        for story in facts.holds
        if story.grant is not None
        and story.grant.status in _HELD
        and story.grant.expires_at > now
        and (story.request.target, story.request.entitlement)
        == (entitlement.target, entitlement.name)
        and catalogs.covers(catalogs.scope_from_json(story.request.scope), scope)
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _held_already(grant: model.Grant, facts: Facts, now: datetime) -> str:
    if grant.status is model.GrantStatus.ACTIVATING:
        return "The same is being granted to you just now"
    return f"You hold this until {_local(grant.expires_at, now, facts)}"


def _local(moment: datetime, now: datetime, facts: Facts) -> str:
    """`14:32`, on the requester's own clock; with the day when it is another."""
    try:
        zone = ZoneInfo(facts.requester.tz if facts.requester else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    at, today = moment.astimezone(zone), now.astimezone(zone).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%a} {at.day} {at:%b %H:%M}"


def _by_rule(
    rule: catalogs.Rule, entitlement: catalogs.Entitlement, facts: Facts, wanted: timedelta
) -> model.Decision:
    """What the rule says about a draft that is otherwise in order."""
    if rule.auto_approve_up_to is not None and wanted <= rule.auto_approve_up_to:
        return model.Decision(
            verdict=model.Verdict.AUTO_APPROVE,
            rule=rule.name,
            reasons=(f"Approved automatically up to {duration.words(rule.auto_approve_up_to)}",),
            duration=wanted,
        )
    deciders = _deciders(rule, facts)
    if len(deciders) < rule.needs:
        return _deny(_nobody_else(rule, entitlement, deciders, facts), "entitlement", rule.name)
    return model.Decision(
        verdict=model.Verdict.NEEDS_APPROVAL,
        rule=rule.name,
        reasons=(f"Needs {rule.needs} of {_names(deciders, facts, ',') or _refs(rule)}",),
        approvers=deciders,
        needs=rule.needs,
        duration=wanted,
        decide_within=rule.decide_within,
    )


def _nobody_else(
    rule: catalogs.Rule, entitlement: catalogs.Entitlement, deciders: Sequence[str], facts: Facts
) -> str:
    if any(_members(ref, facts) is None for ref in rule.approvers):
        return (
            "Could not ask Slack who may approve this, so nothing was asked. Try again in a moment."
        )
    who = f"only {len(deciders)} of the {rule.needs} people needed" if deciders else "nobody else"
    return f"You may not request this: {who} can approve {entitlement.name} (rule {rule.name})."


def _deciders(rule: catalogs.Rule, facts: Facts, but: str | None = None) -> tuple[str, ...]:
    """Who is known to be able to decide, the requester never among them, by name."""
    known = {who for ref in rule.approvers for who in _members(ref, facts) or ()}
    known -= facts.unfit
    known -= {but, facts.requester.id if facts.requester else None}
    return tuple(sorted(known, key=lambda who: (facts.names.get(who, "\uffff"), who)))


def _members(ref: str, facts: Facts) -> frozenset[str] | None:
    if reference.kind(ref) is reference.Kind.ACCOUNT:
        return frozenset({ref})
    return facts.members.get(ref)


def _among(person_id: str, refs: Collection[str], facts: Facts) -> bool | None:
    """Whether `refs` name this person; None when Slack did not say."""
    unknown = False
    for ref in refs:
        if reference.kind(ref) is reference.Kind.EVERYONE:
            return True
        members = _members(ref, facts)
        if members is None:
            unknown = True
        elif person_id in members:
            return True
    return None if unknown else False


def _only(rule: catalogs.Rule, facts: Facts, requester_id: str, act: str = "decide") -> str:
    names = _names(_deciders(rule, facts, but=requester_id), facts, "or") or _refs(rule)
    return f"Only {names} can {act} this one (rule {rule.name})."


def _names(ids: Sequence[str], facts: Facts, joint: str) -> str:
    """Names in a sentence; "" when not everybody's name is known or they are too many to name."""
    if not ids or len(ids) > _NAMED_AT_MOST or any(who not in facts.names for who in ids):
        return ""
    names = called(ids, facts.names)
    if joint == "," or len(names) == 1:
        return ", ".join(names)
    return f"{', '.join(names[:-1])} {joint} {names[-1]}"


def _refs(rule: catalogs.Rule) -> str:
    """The approvers as the catalog names them, for when there are no names."""
    return ", ".join(rule.approvers)


def _told(names: str) -> str:
    if not names:
        return ""
    return f" {names} {'were' if ' and ' in names else 'was'} told."


def _same(person: model.Person, requester: model.Person | None) -> bool:
    return requester is not None and person.same_as(requester)


def _deny(reason: str, about: str | None = None, rule: str = "") -> model.Decision:
    fields = {about: reason} if about else {}
    return model.Decision(verdict=model.Verdict.DENY, rule=rule, reasons=(reason,), fields=fields)


def _deny_fields(wrong: Mapping[str, str], rule: catalogs.Rule) -> model.Decision:
    reasons = tuple(wrong.values())
    return model.Decision(
        verdict=model.Verdict.DENY, rule=rule.name, reasons=reasons, fields=dict(wrong)
    )
