"""Finding what a person points at: which message or view it is now, and which element in it."""

from typing import Any

from bot.demo.workspace import inputs, people, state, things

Where = things.Message | things.View | tuple[str, str] | str
"""A message, a view, (channel, ts) or a view id. What is there NOW is used, not what was passed."""
Surface = things.Message | things.View


class NotThere(Exception):
    """There is no such thing for this person to act on."""


def find(places: state.State, user: str, where: Where) -> Surface:
    """The message or view as it is now, if this person has it before them."""
    if isinstance(where, things.Message):
        return _message(places, user, where.channel, where.ts)
    if isinstance(where, tuple):
        return _message(places, user, *where)
    return _view(places, user, where if isinstance(where, str) else where.id)


def _message(places: state.State, user: str, channel: str, ts: str) -> things.Message:
    said = places.find_message(channel, ts)
    if said is None or not places.may_see(user, channel) or said.only_for not in (None, user):
        raise NotThere(f"{user} sees no message {ts} in {channel}")
    return said


def _view(places: state.State, user: str, view_id: str) -> things.View:
    view = places.find_view(view_id)
    if view is None or view.user != user:
        raise NotThere(f"{user} has no view {view_id} open")
    top = places.view_of(user)
    if view.type == "modal" and (top is None or top.id != view.id):
        raise NotThere("another modal is in front of it")
    return view


def top(places: state.State, user: str, view_id: str | None = None) -> things.View:
    """The modal in front of this person, which must be `view_id` when given."""
    view = places.view_of(user)
    if view is None or view_id not in (None, view.id):
        raise NotThere(f"{user} has no such modal in front")
    return view


def blocks_of(surface: Surface) -> list[things.Json]:
    """Its blocks, those of attachments included."""
    if isinstance(surface, things.View):
        return surface.blocks
    attached = [block for one in surface.attachments for block in one.get("blocks") or []]
    return [*surface.blocks, *attached]


def spot(surface: Surface, name: str, value: str | None = None) -> inputs.Spot:
    """The element a person calls `name`: its label, action_id, block_id or path.

    Of several, the one whose `value` is given; several alike are an error, not a guess.
    """
    everything = inputs.spots(blocks_of(surface))
    found = [one for one in everything if name in (one.action_id, one.path)]
    found = found or [one for one in everything if {name, inputs.plain(name)} & one.labels]
    if len(found) > 1 and value is not None:
        found = [one for one in found if one.element.get("value") == value]
    if not found:
        there = sorted(
            {one.element.get("text", {}).get("text", one.action_id) for one in everything}
        )
        raise NotThere(f"there is no {name!r} here; there is: {', '.join(there) or 'nothing'}")
    if len(found) > 1:
        raise NotThere(f"there are {len(found)} of {name!r}; say which by its value")
    return found[0]


def resolve(places: state.State, kind: str, name: str) -> str | None:
    """The id of the person or channel called `name`."""
    wanted = name.lstrip("@#").casefold()
    if kind == "person":
        known: list[tuple[str, set[str]]] = [
            (user.id, {user.id.casefold(), user.name, user.real_name.casefold()})
            for user in places.users.values()
        ]
    else:
        known = [(c.id, {c.id.casefold(), c.name.casefold()}) for c in places.channels.values()]
    return next((one for one, names in known if wanted in names), None)


def where_id(surface: Surface) -> str:
    """The channel or view it stands in, as a notice names it."""
    return surface.channel if isinstance(surface, things.Message) else surface.id


def is_the_bots(surface: Surface) -> bool:
    """Whether the app hears of what is done in it."""
    return isinstance(surface, things.View) or surface.user == people.BOT


def key(surface: Surface, one: inputs.Spot) -> tuple[Any, ...]:
    """What names an element of a surface over updates."""
    own = (surface.channel, surface.ts) if isinstance(surface, things.Message) else (surface.id,)
    return (*own, one.block_id, one.action_id)
