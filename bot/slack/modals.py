"""Windows: skeletons, details, credentials, deny, revoke. Drawn from the record, never from a card."""

import json
import urllib.parse
from collections.abc import Sequence

from bot import catalog as catalogs
from bot import model
from bot.slack import blocks, cards, words
from bot.slack.ids import Field, View
from bot.telling import render
from db_grants.spec import CONNECTIONS, Credential, TableScope

COMMENT_LONGEST = 500  # characters
_ANSWERED = {model.Answer.APPROVE: "Approved", model.Answer.DENY: "Denied"}


def waiting(title: str) -> blocks.Block:
    """What is shown at once, before anything is known."""
    return blocks.modal(View.READ, title, [blocks.quote("One moment…")])


def saying(title: str, text: str) -> blocks.Block:
    """A window that only says something."""
    return blocks.modal(View.READ, title, [blocks.quote(text)])


def _about(request_id: str, source: tuple[str, str] | None) -> str:
    where = {"channel": source[0], "ts": source[1]} if source else {}
    return json.dumps({"id": request_id, **where})


def _comment(label: str, hint: str, *, optional: bool) -> blocks.Block:
    element = {
        "type": "plain_text_input",
        "action_id": Field.COMMENT,
        "multiline": True,
        "max_length": COMMENT_LONGEST,
    }
    return blocks.field(Field.COMMENT, label, element, optional=optional, hint=hint)


def deny(
    request_id: str, source: tuple[str, str] | None, what: render.Mrkdwn | None = None
) -> blocks.Block:
    """Asks for the reason, which goes to the requester.

    Opened at once, without a look at the record; `what` it is about follows when that is known.
    """
    reason = _comment("Reason", "The requester and the approval channel read this.", optional=False)
    return blocks.modal(
        View.DENY,
        "Deny this request",
        [*([blocks.section(what)] if what else []), reason],
        submit="Deny",
        close="Back",
        metadata=_about(request_id, source),
    )


def revoke(
    request_id: str, source: tuple[str, str] | None, what: render.Mrkdwn | None = None
) -> blocks.Block:
    """Asks again before access ends for somebody. `what`: as for `deny`."""
    said = "Access ends now: open sessions are cut and the login is removed."
    return blocks.modal(
        View.REVOKE,
        "Revoke access",
        [
            *([blocks.section(what)] if what else []),
            blocks.quote(said),
            _comment("Comment", "The requester and the approval channel read this.", optional=True),
        ],
        submit="Revoke",
        close="Keep it",
        metadata=_about(request_id, source),
    )


def credentials(story: model.Story, credential: Credential, around: words.Around) -> blocks.Block:
    """How to connect. The password was made a moment ago and is kept nowhere."""
    left = render.about(credential.expires_at - around.now)
    until = render.when(credential.expires_at, around.now)
    head = f"*{render.escape(story.request.target)}*, until {until} ({left} left)"
    note = "Made now and kept nowhere: opening this again makes a new one."
    facts = (
        ("Host", credential.host),
        ("Port", str(credential.port)),
        ("Database", credential.database),
        ("User", credential.role),
    )
    body = [
        blocks.section(render.Mrkdwn(head)),
        blocks.verbatim(psql(credential)),
        blocks.section(render.Mrkdwn(f"*Password*\n{note}")),
        blocks.verbatim(credential.password),
        blocks.section(render.Mrkdwn("*URL with the password*")),
        blocks.verbatim(url(credential, password=True)),
        blocks.fields(*(render.Mrkdwn(f"*{k}*\n{render.escape(v)}") for k, v in facts)),
        blocks.context(_may(story.request)),
    ]
    return blocks.modal(View.READ, "Credentials", body, close="Close")


def psql(credential: Credential) -> str:
    """A line to paste into a shell; psql asks for the password."""
    return f"psql '{url(credential, password=False)}'"


def url(credential: Credential, *, password: bool) -> str:
    """A connection URI, every part percent-encoded.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    secret = f":{_quoted(credential.password)}" if password else ""
    host = f"[{credential.host}]" if ":" in credential.host else _quoted(credential.host)
    tail = f"?sslmode={_quoted(credential.sslmode)}" if credential.sslmode else ""
    where = f"{host}:{credential.port}/{_quoted(credential.database)}"
    return f"postgresql://{_quoted(credential.role)}{secret}@{where}{tail}"


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")


def _may(request: model.AccessRequest) -> render.Mrkdwn:
    ways = zip(("read", "use"), words.scope(request), strict=True)
    can = " and ".join(f"{way} {what}" for way, what in ways if what)
    cannot = "do anything else" if words.scope(request)[1] else "write, or read anything else"
    most = f"At most {CONNECTIONS} connections at a time."
    return render.Mrkdwn(f"You can {can}. You cannot {cannot}. {most} What you run is recorded.")


def details(story: model.Story, around: words.Around, steps: Sequence[str] = ()) -> blocks.Block:
    """Everything that was asked and decided, and what is done in the database for it.

    `steps`: what the engine would do, a line each; may be empty when the target is not known any more.
    """
    request = story.request
    body = [
        blocks.section(render.Mrkdwn(f"*{words.headline(request)}*")),
        cards.spoken(story, words.line(story, around)),
        blocks.fields(*_facts(request, around)),
        blocks.labelled("Why", render.clean(request.justification, lines=True)),
        blocks.section(render.Mrkdwn("*Exact privileges*")),
        *_boxes([_privileges(each) for each in catalogs.scope_from_json(request.scope).tables]),
        *_rule(request, around),
        *([blocks.section(render.Mrkdwn("*In the database*")), *_boxes(steps)] if steps else []),
        blocks.section(render.Mrkdwn("*What happened*")),
        blocks.section(_history(story)),
    ]
    return blocks.modal(View.READ, "Details", body)


def _facts(request: model.AccessRequest, around: words.Around) -> list[render.Mrkdwn]:
    facts = {
        "Who": render.escape(request.requester_name),
        "What": render.escape(request.entitlement),
        "Where": render.escape(f"{request.target} ({request.environment})"),
        "How long": render.escape(render.duration(request.duration)),
        "Id": render.escape(request.id),
        "Asked": render.clock(request.created_at, full=True),
    }
    if around.sensitivity:
        facts["Sensitivity"] = render.escape(around.sensitivity)
    return [render.Mrkdwn(f"*{label}*\n{value}") for label, value in facts.items()]


def _privileges(table: TableScope) -> str:
    columns = f" ({', '.join(table.columns)})" if table.columns else ""
    return f"{words.privileges(table)} on {table.label}{columns}"


def _boxes(lines: Sequence[str], most: int = 2900) -> list[blocks.Block]:
    """Lines in boxes, as many boxes as needed (at most 20), nothing left out before that."""
    boxes: list[str] = []
    for line in (render.clean(each, limit=most) for each in lines):
        if boxes and len(boxes[-1]) + len(line) < most:
            boxes[-1] += f"\n{line}"
        else:
            boxes.append(line)
    return [blocks.verbatim(each) for each in boxes[:20]]


def _rule(request: model.AccessRequest, around: words.Around) -> list[blocks.Block]:
    who = render.some([render.name(around.names(each)) for each in request.approvers], 20)
    reasons = "; ".join(str(render.escape(reason)) for reason in request.reasons)
    said = [reasons, f"May decide: {who}" if who else ""]
    text = "\n".join([f"*Rule {render.escape(request.rule)}*", *filter(None, said)])
    return [blocks.section(render.Mrkdwn(render.cut(text, blocks.SECTION_TEXT)))]


def _settled(story: model.Story) -> str:
    """How it was settled, where no review says so."""
    match story.request.status:
        case model.RequestStatus.APPROVED:
            return "" if story.reviews else f"Approved {words.decided(story)}"
        case model.RequestStatus.DENIED:
            return (
                "" if story.reviews else f"Denied by {words.person(story.request.decided_by_name)}"
            )
        case model.RequestStatus.CANCELLED:
            return "Withdrawn"
        case model.RequestStatus.EXPIRED:
            return "Lapsed, nobody decided in time"
    return "Superseded: what was asked for has changed"


def _history(story: model.Story) -> render.Mrkdwn:
    """The steps with their times, from the record."""
    request, grant = story.request, story.grant
    steps = [(request.created_at, f"Asked by {render.name(request.requester_name)}")]
    steps += [
        (r.at, f"{_ANSWERED[r.answer]} by {render.name(r.reviewer_name)}") for r in story.reviews
    ]
    if request.decided_at and (settled := _settled(story)):
        steps.append((request.decided_at, settled))
    if grant and grant.activated_at:
        steps.append((grant.activated_at, f"Live as {render.escape(grant.role_name)}"))
    if grant and grant.access_ended_at:
        cut = render.count(grant.sessions_cut, "session")
        steps.append((grant.access_ended_at, f"Access ended, {cut} cut"))
    if grant and grant.cleaned_up_at:
        steps.append((grant.cleaned_up_at, "Verified: nothing remains"))
    said = [f"{render.clock(at, full=True)}  {what}" for at, what in sorted(steps)]
    return render.Mrkdwn("\n".join(said))
