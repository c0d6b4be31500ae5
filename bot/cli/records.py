"""`jit list` and `jit show`: read the record."""

import dataclasses
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import errors, model
from bot.catalog import duration
from bot.cli import desk

if TYPE_CHECKING:
    from bot import store as stores

_ENDED_SHOWN = 100


def list_(
    ctx: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    as_json: desk.AsJson = False,
) -> None:
    """List what is granted or waiting, newest first."""
    with desk.desk(ctx).store() as store:
        shown = store.open_stories()
        if everything:
            known = {story.request.id for story in shown}
            latest = [r.id for r in store.requests(limit=_ENDED_SHOWN) if r.id not in known]
            shown = (*shown, *store.stories(latest))
            shown = tuple(sorted(shown, key=lambda s: s.request.created_at, reverse=True))
    if as_json:
        desk.answer([brief(story) for story in shown])
        return
    if not shown:
        print("Nothing is granted and nothing is waiting." if not everything else "Nothing yet.")
        return
    desk.table(("ID", "STATUS", "WHO", "WHAT", "TARGET", "FOR", "UNTIL"), [_row(s) for s in shown])


def show(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    as_json: desk.AsJson = False,
) -> None:
    """Show everything recorded about one request: asked, decided, granted, ended."""
    with desk.desk(ctx).store() as store:
        story = _story(store, desk.id_of(request_id))
        events = store.events_of(story.request.id)
    if as_json:
        told = dataclasses.asdict(story)
        told["state"] = state(story)
        desk.answer(told | {"events": [dataclasses.asdict(event) for event in events]})
        return
    for name, said in _told(story):
        print(f"{name:<10} {desk.visible(said)}")
    print()
    width = max(len(event.type) for event in events)
    for event in events:
        who = desk.visible(_by(event))
        print(f"{desk.moment(event.at)}  {event.type:<{width}}  {who}".rstrip())


def _story(kept: "stores.Store", request_id: str) -> model.Story:
    try:
        return kept.story(request_id)
    except errors.NotFound:
        shown = desk.visible(request_id)
        raise errors.NotFound(
            f"There is no request {shown}; `jit list --all` shows them."
        ) from None


def _by(event: model.AuditEvent) -> str:
    """Who did it: a person, a login on the command line; nobody where it was the bot by itself.

    Of a refused click also what the person was told.
    """
    told = json.loads(event.body)
    actor, words = told["actor"], told["data"].get("words", "")
    who = actor["name"] or actor["id"] or ""
    who = f"{who} (command line)" if actor["kind"] == "operator" else who
    return f"{who}: {words}" if words and event.type == "click.refused" else who


def brief(story: model.Story) -> dict[str, Any]:
    """One request for programs; times in UTC, durations in seconds."""
    request, grant = story.request, story.grant
    return {
        "id": request.id,
        "status": status(story),
        "state": state(story),
        "requester": request.requester_name,
        "requester_id": request.requester_id,
        "entitlement": request.entitlement,
        "target": request.target,
        "tables": list(request.tables),
        "duration": request.duration.total_seconds(),
        "justification": request.justification,
        "created_at": request.created_at,
        "decide_by": request.decide_by,
        "decided_by": request.decided_by_name,
        "expires_at": grant.expires_at if grant else None,
        "role": grant.role_name if grant else None,
        "cause": grant.cause if grant else None,
        "access_ended_at": grant.access_ended_at if grant else None,
        "cleaned_up_at": grant.cleaned_up_at if grant else None,
        "last_error": grant.last_error if grant else None,
    }


def status(story: model.Story) -> str:
    """Where it stands: the grant's status once there is one."""
    return (story.grant.status if story.grant else story.request.status).value


def state(story: model.Story) -> str:
    """The same for people: an end that is overdue is another thing than one not cleaned up."""
    grant = story.grant
    if grant is not None and grant.given_up:
        return "given up"
    if grant is None or grant.status is not model.GrantStatus.REVOKING:
        return status(story)
    if grant.access_ended_at is not None:
        return "cleanup pending"
    if grant.activated_at is None:
        return "unsure"
    return "overdue" if grant.alarmed_at else "ending"


def _row(story: model.Story) -> tuple[str, ...]:
    request, grant = story.request, story.grant
    until = (grant.access_ended_at or grant.expires_at) if grant else _open_until(request)
    length = duration.words(request.duration)
    who = desk.visible(request.requester_name)
    what = (request.entitlement, request.target, length, desk.moment(until))
    return (request.id, state(story), who, *what)


def _open_until(request: model.AccessRequest) -> datetime:
    """When a request lapses; of one that came to nothing, when that was settled."""
    return request.decided_at or request.decide_by


def _told(story: model.Story) -> list[tuple[str, str]]:
    request, grant = story.request, story.grant
    lines = [
        ("id", request.id),
        ("status", state(story)),
        ("who", f"{request.requester_name} ({request.requester_id})"),
        ("what", f"{request.entitlement} on {request.target} ({request.environment})"),
        ("tables", ", ".join(request.tables)),
        ("for", duration.words(request.duration)),
        ("why", request.justification),
        ("asked", desk.moment(request.created_at)),
        ("decision", f"{request.verdict.value}: {'; '.join(request.reasons)}"),
    ]
    lines += [
        (
            "review",
            f"{r.answer.value} by {r.reviewer_name}, {desk.moment(r.at)} {r.comment}".strip(),
        )
        for r in story.reviews
    ]
    return [(name, said) for name, said in lines + (_grant(grant) if grant else []) if said]


def _no_access(grant: model.Grant) -> str:
    if grant.given_up and grant.access_ended_at is None:
        return "never proven"
    return desk.moment(grant.access_ended_at)


def _grant(grant: model.Grant) -> list[tuple[str, str]]:
    ended = (
        f"{grant.cause.value} {grant.ended_by_name or grant.ended_by or ''}" if grant.cause else ""
    )
    return [
        ("role", grant.role_name),
        ("active", desk.moment(grant.activated_at)),
        ("until", desk.moment(grant.expires_at)),
        ("end", ended.strip()),
        ("because", grant.end_comment or ""),
        ("no access", _no_access(grant)),
        ("clean", desk.moment(grant.cleaned_up_at)),
        ("remains", ", ".join((*grant.quarantined, *grant.residue))),
        ("error", grant.last_error or ""),
    ]
