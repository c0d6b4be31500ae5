"""The request form: drawn from what is offered, read back, and its errors put beside the fields.

Block ids name what a field depends on (`field.entitlement.shop`), so that a change of target gives
a fresh field, and so that a suggestion request tells which target it is for. Nothing that comes back
is trusted: `Access` validates it again for this person.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeGuard

from bot import catalog as catalogs
from bot import model
from bot.slack import blocks
from bot.slack.ids import Field, View
from bot.telling import render

WHY_LONGEST = 1000  # characters
_USUAL = tuple(timedelta(minutes=m) for m in (15, 30, 60, 120, 240))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What has been chosen so far."""

    target: str = ""
    entitlement: str = ""
    tables: tuple[str, ...] = ()
    duration: timedelta | None = None
    why: str = ""
    channel_id: str = ""

    def draft(self, requester_id: str, dedupe_key: str | None = None) -> model.Draft:
        """The same as a draft."""
        return model.Draft(
            requester_id=requester_id,
            entitlement=self.entitlement,
            duration=self.duration,
            justification=self.why,
            tables=self.tables,
            channel_id=self.channel_id or None,
            dedupe_key=dedupe_key,
        )


Offered = Sequence[catalogs.Entitlement]


def view(form: Form, offered: Offered, hint: str, *, problem: str = "") -> blocks.Block:
    """The window. `hint`: what will happen; `problem`: what went wrong just now."""
    if not offered:
        return nothing_offered()
    chosen = next((e for e in offered if e.name == form.entitlement), None)
    parts = [
        *([blocks.quote(problem)] if problem else []),
        *_target(form, offered),
        _entitlement(form, chosen, offered),
        *_about(chosen),
        *_tables(form, chosen),
        _duration(form, chosen),
        _why(form, chosen),
        blocks.context(render.escape(hint)) | {"block_id": "hint"},
    ]
    return blocks.modal(
        View.REQUEST,
        "Ask for access",
        parts,
        submit="Ask",
        close="Cancel",
        metadata=json.dumps({"channel": form.channel_id}),
    )


def nothing_offered() -> blocks.Block:
    """For somebody who may request nothing: says so, names nothing."""
    text = "Nothing is offered to you. Whoever runs the database catalog can change that."
    return blocks.modal(View.READ, "Ask for access", [blocks.quote(text)])


def _several(offered: Offered) -> list[str]:
    targets = list(dict.fromkeys(e.target for e in offered))
    return targets if len(targets) > 1 else []


def _target(form: Form, offered: Offered) -> list[blocks.Block]:
    if not _several(offered):
        return []
    element = _select(Field.TARGET, "Type a name", _target_option(form.target, offered))
    return [blocks.field(Field.TARGET, "Target", element, optional=True, live=True)]


def _target_option(target: str, offered: Offered) -> blocks.Block | None:
    found = next((e for e in offered if e.target == target), None)
    return blocks.option(found.target, found.target, found.environment) if found else None


def _select(action: Field, placeholder: str, initial: blocks.Block | None) -> blocks.Block:
    extra = {"initial_option": initial} if initial else {}
    return {
        "type": "external_select",
        "action_id": action,
        "min_query_length": 0,
        "placeholder": blocks.plain(placeholder, 150),
        **extra,
    }


def _entitlement(form: Form, chosen: catalogs.Entitlement | None, offered: Offered) -> blocks.Block:
    shown = _entitlement_option(chosen, several=bool(_several(offered))) if chosen else None
    element = _select(Field.ENTITLEMENT, "Type part of a name or table", shown)
    target = form.target if _several(offered) else ""
    return blocks.field(f"{Field.ENTITLEMENT}.{target}", "What", element, live=True)


def _entitlement_option(entitlement: catalogs.Entitlement, *, several: bool) -> blocks.Block:
    where = f"{entitlement.target}: " if several else ""
    about = entitlement.description or ", ".join(entitlement.labels)
    return blocks.option(entitlement.name, entitlement.name, render.clean(f"{where}{about}"))


def _about(chosen: catalogs.Entitlement | None) -> list[blocks.Block]:
    if chosen is None:
        return []
    said = [f"On {chosen.target} ({chosen.environment})", chosen.description, chosen.sensitivity]
    text = " · ".join(str(render.escape(each)) for each in said if each)
    return [blocks.context(render.Mrkdwn(text))]


def _tables(form: Form, chosen: catalogs.Entitlement | None) -> list[blocks.Block]:
    if chosen is None or len(chosen.labels) < 2:  # noqa: PLR2004
        return []
    every = [blocks.option(label, label) for label in chosen.labels]
    initial = [each for each in every if each["value"] in form.tables]
    element: blocks.Block = {
        "type": "multi_static_select" if len(every) <= blocks.OPTIONS else "multi_external_select",
        "action_id": Field.TABLES,
        "placeholder": blocks.plain("All of them", 150),
        **({"options": every} if len(every) <= blocks.OPTIONS else {"min_query_length": 0}),
        **({"initial_options": initial} if initial else {}),
    }
    block_id = f"{Field.TABLES}.{chosen.name}"
    return [blocks.field(block_id, "Only these tables", element, optional=True, live=True)]


def _duration(form: Form, chosen: catalogs.Entitlement | None) -> blocks.Block:
    choices = set(chosen.choices if chosen else _USUAL)
    default = chosen.default_duration if chosen else timedelta(minutes=30)
    wanted = form.duration if _fits(form.duration, choices) else default
    element = {
        "type": "static_select",
        "action_id": Field.DURATION,
        "options": [_duration_option(each) for each in sorted(choices | {wanted})],
        "initial_option": _duration_option(wanted),
    }
    block_id = f"{Field.DURATION}.{chosen.name if chosen else ''}"
    return blocks.field(block_id, "How long", element, live=True)


def _fits(wanted: timedelta | None, choices: Collection[timedelta]) -> TypeGuard[timedelta]:
    """Whether it may be offered as well: what somebody typed need not be one of our steps."""
    return wanted is not None and timedelta() < wanted <= max(choices)


def too_long(form: Form, chosen: catalogs.Entitlement | None) -> str:
    """Why the duration that was typed is not the one in the window; empty when it is."""
    if chosen is None or form.duration is None or form.duration <= chosen.max_duration:
        return ""
    return f"At most {render.duration(chosen.max_duration)} for {chosen.name}."


def _duration_option(length: timedelta) -> blocks.Block:
    return blocks.option(render.duration(length), str(int(length.total_seconds())))


def _why(form: Form, chosen: catalogs.Entitlement | None) -> blocks.Block:
    element: blocks.Block = {
        "type": "plain_text_input",
        "action_id": Field.WHY,
        "multiline": True,
        "max_length": WHY_LONGEST,
        "placeholder": blocks.plain("What you need it for", 150),
        **({"initial_value": form.why[:WHY_LONGEST]} if form.why else {}),
    }
    ticket = chosen.ticket_example if chosen and chosen.ticket else None
    hint = f"Begin with the ticket, like {ticket}, and say what for." if ticket else ""
    return blocks.field(Field.WHY, "Why", element, hint=hint)


def suggestions(action_id: str, block_id: str, typed: str, offered: Offered) -> list[blocks.Block]:
    """At most 100 options for what was typed; typing more narrows them down."""
    match action_id:
        case Field.TARGET:
            names = [t for t in _several(offered) if typed.casefold() in t.casefold()]
            found = [_target_option(name, offered) for name in names]
        case Field.ENTITLEMENT:
            target = block_id.removeprefix(f"{Field.ENTITLEMENT}").removeprefix(".")
            several = bool(_several(offered)) and not target
            here = [e for e in offered if e.target == target or not target]
            found = [_entitlement_option(e, several=several) for e in _matching(typed, here)]
        case Field.TABLES:
            labels = _labels(block_id.removeprefix(f"{Field.TABLES}."), offered)
            found = [blocks.option(x, x) for x in labels if typed.casefold() in x.casefold()]
        case _:
            found = []
    return [each for each in found if each][: blocks.OPTIONS]


def _matching(typed: str, offered: Offered) -> list[catalogs.Entitlement]:
    """Those in which every typed word occurs; names that begin with it come first."""
    wanted = typed.casefold().split()
    found = [e for e in offered if all(word in _haystack(e) for word in wanted)]
    first = typed.casefold().strip()
    return sorted(found, key=lambda e: (not e.name.casefold().startswith(first), e.name))


def _haystack(entitlement: catalogs.Entitlement) -> str:
    every = (entitlement.name, entitlement.description, entitlement.target, *entitlement.labels)
    return " ".join([*every, entitlement.name.replace("_", " ")]).casefold()


def _labels(name: str, offered: Offered) -> tuple[str, ...]:
    return next((e.labels for e in offered if e.name == name), ())


def read(sent: Mapping[str, Any]) -> Form:
    """What a view's state says. Missing or odd values are simply not there."""
    found = {action: value for _, action, value in _values(sent)}
    metadata = _metadata(sent)
    return Form(
        target=_chosen(found.get(Field.TARGET)),
        entitlement=_chosen(found.get(Field.ENTITLEMENT)),
        tables=_chosen_many(found.get(Field.TABLES)),
        duration=_seconds(_chosen(found.get(Field.DURATION))),
        why=str((found.get(Field.WHY) or {}).get("value") or ""),
        channel_id=str(metadata.get("channel") or ""),
    )


def comment(sent: Mapping[str, Any]) -> str:
    """The comment in a window that asks for one."""
    found = {action: value for _, action, value in _values(sent)}
    return str((found.get(Field.COMMENT) or {}).get("value") or "").strip()


def metadata_id(sent: Mapping[str, Any]) -> str:
    """The request id a window is about."""
    return str(_metadata(sent).get("id") or "")


def metadata_source(sent: Mapping[str, Any]) -> tuple[str, str] | None:
    """Channel and ts of the message from which a window was opened; none for App Home."""
    found = _metadata(sent)
    return (str(found["channel"]), str(found["ts"])) if "channel" in found else None


def _metadata(sent: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(sent.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _values(sent: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    state = (sent.get("state") or {}).get("values") or {}
    return [(block, action, value) for block, of in state.items() for action, value in of.items()]


def _chosen(value: Mapping[str, Any] | None) -> str:
    return str(((value or {}).get("selected_option") or {}).get("value") or "")


def _chosen_many(value: Mapping[str, Any] | None) -> tuple[str, ...]:
    options = (value or {}).get("selected_options") or []
    return tuple(str(each.get("value")) for each in options)


def _seconds(value: str) -> timedelta | None:
    return timedelta(seconds=int(value)) if value.isdecimal() and len(value) < 9 else None  # noqa: PLR2004


_BESIDE = {
    "entitlement": Field.ENTITLEMENT,
    "target": Field.ENTITLEMENT,
    "tables": Field.TABLES,
    "duration": Field.DURATION,
    "justification": Field.WHY,
    "comment": Field.COMMENT,
}


def errors_beside(problems: Mapping[str, str], sent: Mapping[str, Any]) -> dict[str, str]:
    """Errors by block id. One whose field is not in the window goes to `What`."""
    places = {action: block for block, action, _ in _values(sent)}
    first = places.get(Field.ENTITLEMENT) or next(iter(places.values()), str(Field.WHY))
    found: dict[str, str] = {}
    for name, message in problems.items():
        block = places.get(_BESIDE.get(name, Field.ENTITLEMENT), first)
        found[block] = render.cut(f"{found.get(block, '')} {message}".strip(), blocks.ERROR)
    return found
