"""Summary, digest, lines of threads and of the audit channel: from values to mrkdwn."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot import model
from bot.audit import digest, summary
from bot.granting import skew
from bot.slack import remains, words
from bot.telling import notices, render
from db_grants.spec import Evidence, SessionSeen

Link = Callable[[str], render.Mrkdwn]  # request id -> a link to its thread

_EVIDENCE = {
    Evidence.STATEMENT_LOG: "statement log, complete",
    Evidence.PARTIAL_LOG: "statement log, in part",
    Evidence.COUNTERS: "counters only",
    Evidence.NONE: "none",
}
_CHANGELESS = {"SELECT", "TRANSACTION", "SET", "SHOW", "FETCH"}  # kinds of statements
_CODE = {"DO", "CALL"}  # what they reach stands in no text
_MOST = 5
_A_WAIT = timedelta(minutes=1)  # what is decided sooner kept nobody waiting
_LONG = 15.0  # seconds: the published limit on the end of access
_GIST = re.compile(r"\((.+)\)\.?$")  # at the end of an error: what the other side said
_PLAIN = re.compile(r"[\w$]+(?:\.[\w$]+)*")
_MARKS = re.compile(r"[^\w $.,+/@<>=-]")  # what is left of a program's or a table's name
_NAME_SHOWN = 60  # characters
_TIMES = "\N{MULTIPLICATION SIGN}"


def thread(story: model.Story, data: Mapping[str, Any]) -> render.Mrkdwn:
    """`14:02 Approved by Bo`."""
    at = render.clock(datetime.fromisoformat(data["at"]))
    figures = {**data, "until": _moment(data.get("until"))}
    if data["line"] == notices.Line.LEFT:
        figures["what"] = remains.told(data["what"])
    if "why" in data:
        figures["why"] = words.problem(data["why"], story.request.target)
    why = words.cause(
        data.get("cause"),
        data.get("who"),
        requester=story.request.requester_name,
        target=story.request.target,
    )
    said = render.text("thread", line=data["line"], d=_Figures(figures), cause=why)
    return render.Mrkdwn(f"{at} {said}")


class _Figures(dict[str, Any]):
    """What stands in a row; what it lacks is none, as rows of an older version may."""

    def __missing__(self, key: str) -> None:
        return None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def audit(
    story: model.Story, around: words.Around, data: Mapping[str, Any], link: Link
) -> render.Mrkdwn:
    """One line in the audit channel."""
    grant = story.grant
    why = words.cause(
        data.get("cause"),
        data.get("who"),
        requester=story.request.requester_name,
        target=story.request.target,
    )
    more = {"line": data["line"], "link": link(story.request.id), "ended_why": why}
    return words.message("audit", story, around, **({"error": ""} if grant is None else {}), **more)


def alarm(data: Mapping[str, Any], now: datetime, link: Link) -> render.Mrkdwn:
    """In one sentence: something needs a person, or does no more."""
    more = ", ".join(str(link(each["id"])) for each in data["grants"])
    return render.text("alarm", **_alarm(data, now), links=render.Mrkdwn(more))


def alarm_card(data: Mapping[str, Any], now: datetime) -> tuple[render.Mrkdwn, render.Mrkdwn]:
    """What is so, in one line; and below it who, why and what to do."""
    head, _, facts = render.text("alarm_card", **_alarm(data, now)).partition("\n")
    return render.Mrkdwn(head), render.Mrkdwn(facts)


def _alarm(data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Everything the templates about alarms may print. What rows of an older version lack is none."""
    since, grants, target = _moment(data.get("since")), data["grants"], data["target"]
    rest = [f"{data['count'] - len(grants)} more"] if data["count"] > len(grants) else []
    named = [*(str(each["role"]) for each in grants), *rest]
    gone = data.get("gone") or 0
    return {
        "id": data["id"],
        "alarm": data["alarm"],
        "state": data["state"],
        "over": bool(data.get("over")),
        "by": data.get("by") or "Somebody",
        "target": target,
        "number": data["count"],
        "gone": f"; {gone} more {'is' if gone == 1 else 'are'} over meanwhile" if gone else "",
        "since": render.when(since, now) if since else "",
        "error": words.problem(data["error"], target) if data.get("error") else "",
        "cause": cause(str(data.get("error") or ""), target),
        "leapt": data["alarm"] == notices.Alarm.SKEW and str(target).startswith(skew.ITSELF),
        "who": render.Mrkdwn(render.listing([*map(_holder, grants), *rest])),
        "people": render.Mrkdwn(", ".join([*map(_holding, grants), *rest])),
        "roles": render.escape(f"{'roles' if len(named) > 1 else 'role'} {render.listing(named)}"),
        "left": render.some(remains.told(x for each in grants for x in each.get("left", ())), 3),
        "early": outlives_its_end(data, now),
        "outcome": _outcome(data, now),
        "unproven": data.get("unproven", 0),
    }


def cause(error: str, target: str) -> str:
    """A target's error as `words.problem` has it, with what the server or the network said of it."""
    if not error:
        return ""
    said, gist = words.problem(error, target), _GIST.search(error)
    fresh = gist is not None and gist[1] not in said
    return f"{said} ({render.clean(gist[1], limit=words.QUOTED)})" if gist and fresh else said


def outlives_its_end(data: Mapping[str, Any], now: datetime) -> bool:
    """Whether one of its roles, ended early, carries a deadline that is still to come."""
    deadlines = (_moment(each.get("until")) for each in data["grants"])
    return any(until is not None and until > now for until in deadlines)


def _outcome(data: Mapping[str, Any], now: datetime) -> render.Mrkdwn:
    """`, the last at 14:07, 12 min late; clean-up of 2 goes on`: what became of its grants."""
    last, late = _moment(data.get("last")), data.get("late")
    which = "the last at" if data["count"] > 1 else "at"
    when = f", {which} {render.when(last, now)}" if last and not data.get("live") else ""
    after = f", {render.about(timedelta(seconds=late))} late" if when and late else ""
    cleaning = f"; clean-up of {data['cleaning']} goes on" if data.get("cleaning") else ""
    live = f"; {render.count(data['live'], 'grant')} there live on" if data.get("live") else ""
    return render.Mrkdwn(f"{when}{after}{cleaning}{live}")


def _holder(grant: Mapping[str, Any]) -> str:
    """`Ana Lima (read_customer_data)`."""
    return f"{render.name(grant['who'])} ({render.escape(grant['what'])})"


def _holding(grant: Mapping[str, Any]) -> str:
    """`Ana Lima (read_customer_data as jit_5d9gb8me)`."""
    what = render.escape(f"{grant['what']} as {grant['role']}")
    return f"{render.name(grant['who'])} ({what})"


def finding(data: Mapping[str, Any]) -> render.Mrkdwn:
    """What reconciling found, or that it is so no more."""
    known = ("kind", "target", "role", "what", "proposal", "done", "over")
    return render.text("finding", **{name: data.get(name) or "" for name in known})


def _subject(role: str, target: str) -> str:
    return f"{role} on {target}" if role else target


def ender_says(story: model.Story) -> str:
    """`Bo says: …`, in the words of whoever ended it; empty where they gave none."""
    grant = story.grant
    if grant is None or not grant.end_comment:
        return ""
    who = render.short(grant.ended_by_name or "Somebody")
    return f"{who} says: {render.clean(grant.end_comment, limit=words.QUOTED)}"


def grant_summary(story: model.Story, around: words.Around) -> render.Mrkdwn:
    """What one grant came to, but for `ender_says`. ValueError when nothing was granted."""
    found = summary.summarise(story)
    kinds = [f"{n:,} {kind}" for kind, n in found.counts]
    kinds_run = {kind for kind, _ in found.counts}
    if found.refused:
        on = (
            f" ({render.some([*map(_quoted, found.refused_on)], _MOST)})"
            if found.refused_on
            else ""
        )
        kinds.append(f"{found.refused:,} refused{on}")
    evidence = _EVIDENCE[found.evidence]
    note = f" ({found.note.rstrip('.')})" if found.note and found.statements is not None else ""
    return render.text(
        "summary",
        s=found,
        approvers=render.Mrkdwn(render.listing([str(words.person(n)) for n in found.approvers])),
        sessions=_sessions(found.sessions),
        kinds=render.some(kinds, 8),
        touched=render.some(_counted(found.touched), _MOST),
        touching="Read" if kinds_run <= _CHANGELESS else "Touched",
        code=render.listing(sorted(kinds_run & _CODE), "or"),
        unnamed=render.some([_table(t) for t in found.unnamed], _MOST),
        evidence=f"{evidence}{note}",
        residue=render.some(remains.told(found.residue), _MOST),
        ending=_ending(found),
        verified_at=render.clock(found.cleaned_up_at or around.now, seconds=True),
    )


def _counted(touched: Sequence[tuple[str, int]]) -> list[str]:
    """A table and how often; with its schema where another has a table of that name."""
    alike = Counter(_table(label) for label, _ in touched)
    names = [_table(label) if alike[_table(label)] == 1 else _quoted(label) for label, _ in touched]
    return [f"{name} {n}{_TIMES}" for name, (_, n) in zip(names, touched, strict=True)]


def _table(label: str) -> str:
    """`orders`: the schema goes without saying, unless the name is odd."""
    schema, dot, table = label.partition(".")
    return _quoted(table if dot and "." not in table else schema + dot + table)


def _quoted(name: str) -> str:
    """A name as it is, in quotes where it could be read as something else: whoever held the grant has
    chosen it, in a statement, and may not thereby add to what is said of it.
    """
    if _PLAIN.fullmatch(name):
        return name
    return f'"{render.cut(_unmarked(name), _NAME_SHOWN)}"'


def _unmarked(text: str) -> str:
    """Somebody's words without what Slack would draw, or a reader take for the end of them."""
    return _MARKS.sub("", text)


def _sessions(seen: Sequence[SessionSeen]) -> str:
    """`2 sessions from 10.2.3.4 (psql)`."""
    places = list(dict.fromkeys(s.client for s in seen if s.client))
    told = (render.cut(_unmarked(s.application), _NAME_SHOWN) for s in seen if s.application)
    programs = list(dict.fromkeys(filter(None, told)))
    text = render.count(len(seen), "session")
    text += f" from {render.some(places, 3)}" if places else ""
    return text + (f" ({render.some(programs, 3)})" if programs else "")


def _ending(found: summary.Summary) -> render.Mrkdwn:
    late = found.lateness.total_seconds() if found.lateness else 0.0
    if found.cause is model.EndCause.DEADLINE:
        return render.Mrkdwn(f"ended by the deadline, {late:.1f} s late")
    why = words.cause(found.cause, found.ended_by_name, requester=found.requester_name)
    took = f", which took {late:.0f} s" if late >= _LONG else ""
    return render.Mrkdwn(f"ended early, {why}{took}")


def period(found: digest.Digest, link: Link) -> render.Mrkdwn:
    """The digest."""

    def items(some: digest.Items) -> render.Mrkdwn:
        shown = [str(_item(each, link)) for each in some.first]
        rest = some.count - len(shown)
        return render.Mrkdwn(", ".join(shown) + (f" and {rest} more" if rest > 0 else ""))

    return render.text(
        "digest",
        d=found,
        figures=render.Mrkdwn(" · ".join(_figures(found))),
        since=_local(found.since, found.zone),
        until=_local(found.until, found.zone, after=found.since),
        late=items(found.late),
        overdue=items(found.overdue),
        pending=items(found.pending),
        unused=items(_timeless(found.unused)),
        waits=items(_worth_a_word(found.longest_waits)),
        waiting=items(found.waiting),
        granting=items(found.granting),
        unsure=items(found.unsure),
        active=items(found.active),
        findings=render.some(
            [f"{_subject(f.role, f.target)} ({f.what})" for f in found.findings], 3
        ),
    )


def _worth_a_word(waits: digest.Items) -> digest.Items:
    """The longest, and of the rest those in which somebody was kept waiting."""
    longest, rest = waits.first[:1], waits.first[1:]
    told = (*longest, *(each for each in rest if each.took and each.took >= _A_WAIT))
    return replace(waits, first=told, count=len(told))


def _timeless(some: digest.Items) -> digest.Items:
    """Without deadlines: they are over."""
    return replace(some, first=tuple(replace(each, until=None) for each in some.first))


def _figures(found: digest.Digest) -> list[str]:
    """What happened, without the zeros: `31 granted (19 by rule, 12 by people)`, `3 denied`."""
    counts = (
        (found.granted, f"granted ({found.by_rule} by rule, {found.by_people} by people)"),
        (found.denied, "denied"),
        (found.lapsed, "lapsed"),
        (found.cancelled, "withdrawn"),
        (found.superseded, "superseded"),
        (found.failed, "could not be granted"),
        (found.ended, "ended"),
        (found.granting.count, "being granted"),
        (found.ending, "ending"),
        (found.active.count, "active now"),
    )
    return [f"{count} {what}" for count, what in counts if count] or [
        "Nothing granted, nothing ended"
    ]


def _local(moment: datetime, zone: str, *, after: datetime | None = None) -> str:
    """`Fri 20 Nov 09:00`, in the digest's own zone; without the day when it is that of `after`."""
    here = moment.astimezone(ZoneInfo(zone))
    if after is not None and after.astimezone(ZoneInfo(zone)).date() == here.date():
        return f"{here:%H:%M}"
    return f"{here:%a} {here.day} {here:%b %H:%M}"


def _item(item: digest.Item, link: Link) -> render.Mrkdwn:
    """`47 min (write_logs for Ana, its thread)`."""
    what = f"{render.escape(item.entitlement)} for {words.person(item.requester_name)}"
    if item.took is not None:
        return render.Mrkdwn(f"{_took(item)} ({what}, {link(item.request_id)})")
    until = f" until {render.clock(item.until)}" if item.until else ""
    return render.Mrkdwn(f"{what}{until} ({link(item.request_id)})")


def _took(item: digest.Item) -> str:
    took = item.took
    return render.about(took) if took is not None else ""
