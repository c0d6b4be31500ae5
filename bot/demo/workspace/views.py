"""Modals and Homes: opening, pushing, updating, publishing, closing, and how an app is told of one."""

import json
import secrets
from dataclasses import replace

from bot.demo.workspace import inputs, limits, people, refusal, state, things

MOST_OPEN = 3
MOST_BYTES = 250_000
TOLD = (
    "title",
    "submit",
    "close",
    "private_metadata",
    "callback_id",
    "clear_on_close",
    "notify_on_close",
    "external_id",
    "submit_disabled",
)
DEFAULTS: things.Json = {
    "private_metadata": "",
    "callback_id": "",
    "external_id": "",
    "clear_on_close": False,
    "notify_on_close": False,
    "submit": None,
    "close": None,
}


def accept(body: object, kind: str) -> things.Json:
    """The view as it will be kept, ids filled in. Refused as Slack refuses it."""
    if not isinstance(body, dict):
        raise refusal.malformed(
            "invalid_arguments", ["must provide an object [json-pointer:/view]"]
        )
    if len(json.dumps(body).encode()) > MOST_BYTES:
        raise refusal.Refused("view_too_large")
    wrong = limits.check_view(body, kind)
    if wrong:
        raise refusal.malformed("invalid_arguments", wrong)
    return {**DEFAULTS, **body, "blocks": inputs.named(body["blocks"])}


def _new(
    places: state.State, user: str, body: things.Json, below: tuple[things.View, ...]
) -> things.View:
    view_id = "V0" + secrets.token_hex(5).upper()
    return things.View(
        id=view_id,
        user=user,
        type=body["type"],
        body=body,
        hash=places.next_hash(),
        root_id=below[0].id if below else view_id,
        previous_id=below[-1].id if below else None,
        values=inputs.initial_values(body["blocks"]),
    )


def _check_external_id(places: state.State, body: things.Json, own: str | None = None) -> None:
    wanted = body.get("external_id")
    known = find_by_external_id(places, wanted) if wanted else None
    if known is not None and known.id != own:
        raise refusal.Refused("duplicate_external_id")


def find_by_external_id(places: state.State, external_id: str) -> things.View | None:
    """The open modal or Home that bears the app's own id."""
    with places.reading():
        modals = [view for user in places.users for view in places.stack(user)]
        everything = [*modals, *places.homes.values()]
    return next((v for v in everything if v.body.get("external_id") == external_id), None)


def open_modal(places: state.State, user: str, body: things.Json) -> things.View:
    """Show a modal in place of whatever `user` had open."""
    with places.changing():
        _check_external_id(places, body)
        view = _new(places, user, body, ())
        places.set_stack(user, [view])
        return view


def push(places: state.State, user: str, body: things.Json) -> things.View:
    """Show a modal on top of those `user` has open, three at most."""
    with places.changing():
        below = places.stack(user)
        if not below:
            raise refusal.Refused("not_found")
        if len(below) >= MOST_OPEN:
            raise refusal.Refused("push_limit_reached")
        _check_external_id(places, body)
        view = _new(places, user, body, below)
        places.set_stack(user, [*below, view])
        return view


def update(
    places: state.State, view: things.View, body: things.Json, known_hash: str | None
) -> things.View:
    """Replace what a view shows. Refused when `known_hash` is given and no longer true."""
    with places.changing():
        current = places.find_view(view.id)
        if current is None:
            raise refusal.Refused("not_found")
        if known_hash and known_hash != current.hash:
            raise refusal.Refused("hash_conflict")
        _check_external_id(places, body, current.id)
        return places.put_view(
            replace(
                current,
                body=body,
                hash=places.next_hash(),
                values=inputs.carried_values(body["blocks"], current.values),
                errors={},
            )
        )


def publish(
    places: state.State, user: str, body: things.Json, known_hash: str | None
) -> things.View:
    """Make or replace `user`'s Home."""
    with places.changing():
        home = places.home_of(user)
        if home is not None:
            return update(places, home, body, known_hash)
        _check_external_id(places, body)
        return places.put_view(_new(places, user, body, ()))


def pop(places: state.State, user: str, view_id: str) -> None:
    """Close one modal and all above it."""
    with places.changing():
        stack = list(places.stack(user))
        ids = [view.id for view in stack]
        if view_id in ids:
            places.set_stack(user, stack[: ids.index(view_id)])


def told(view: things.View) -> things.Json:
    """The view as an app sees it in a payload or an answer."""
    return {
        "id": view.id,
        "team_id": people.TEAM,
        "type": view.type,
        "blocks": view.blocks,
        "state": {"values": view.values},
        "hash": view.hash,
        "root_view_id": view.root_id,
        "previous_view_id": view.previous_id,
        "app_id": people.APP,
        "app_installed_team_id": people.TEAM,
        "bot_id": people.BOT_ID,
        **{key: view.body[key] for key in TOLD if key in view.body},
    }
