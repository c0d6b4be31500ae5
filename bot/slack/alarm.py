"""An alarm in the audit channel: a card that is brought up to date in place, and the word that it is over.

One card of an alarm is live, the newest. Earlier ones say only that it was said again, so that nobody
reads an old list, and nobody is called twice by an edit.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from bot import catalog as catalogs
from bot import model, store
from bot.slack import blocks, cards, reports
from bot.slack.ids import Act
from bot.telling import outbox, render
from bot.telling.notices import Alarm
from bot.watching import ringing

_log = structlog.get_logger(__name__)

Data = Mapping[str, Any]
Ref = model.MessageRef
Mentions = Callable[[], list[render.Mrkdwn]]
_REPEATS = f"repeated every {ringing.REPEAT_EVERY.seconds // 60} min until somebody acknowledges it"
RUNBOOK = {  # which entry of docs/runbook.md is about it
    Alarm.OVERDUE: "Access is overdue",
    Alarm.UNSURE: "Access is overdue",
    Alarm.UNCLEAN: "Something remains",
    Alarm.STRANDED: "A target left the catalog",
    Alarm.ENDS_ONLY: "The catalog cannot be used",
    Alarm.SKEW: "The clocks differ",
    Alarm.UNSAID: "Slack takes nothing",
}


class Board:
    """Where alarms are shown."""

    def __init__(
        self,
        *,
        store: store.Store,
        catalog: Callable[[], catalogs.Catalog],
        mentions: Mentions,
        link: reports.Link,
        post: Callable[[cards.Message], Ref],
        edit: Callable[[Ref, cards.Message], None],
    ) -> None:
        """`mentions`: whom the catalog calls; `post`, `edit`: in the audit channel, as `Poster`."""
        self._store = store
        self._catalog = catalog
        self._mentions = mentions
        self._link = link
        self._post = post
        self._edit = edit

    def deliver(self, row: store.OutboxRow, now: datetime) -> Ref | None:
        """Say it as it is by now; what was posted, or None. Raises Later, Never."""
        if ringing.stale(self._store, row.data, row.created_at, now):
            return None
        data = ringing.as_it_is(self._store, row.data)
        match str(row.data["state"]):
            case "changed":
                self._correct(data, self._card(data, now))
            case "acknowledged":
                if not self._correct(data, self._card(data, now)):
                    return self._post(_spoken(self._said(data, now)))
            case "over":
                self._correct(data, _past(data, "it is over", now))
                return self._post(_spoken(self._said(data, now)))
            case _:
                self._correct(data, _past(data, "said again below", now))
                return self._post(self._card(data, now))
        return None

    def _correct(self, data: Data, message: cards.Message) -> bool:
        """Edit the newest message about it, where there is one; whether there is."""
        place = ringing.place(self._store, str(data["id"]))
        if place is None:
            return False
        channel, ts = place
        ref = Ref(request_id="", kind="alarm", channel_id=channel, ts=ts)
        try:
            self._edit(ref, message)
        except outbox.Never as never:  # somebody deleted it; the next one is posted anew
            _log.info("alarm_not_edited", id=data["id"], why=str(never))
            return False
        return True

    def _said(self, data: Data, now: datetime) -> render.Mrkdwn:
        return reports.alarm(data, now, self._link)

    def _card(self, data: Data, now: datetime) -> cards.Message:
        called = [] if data.get("by") else self._mentions()
        said = self._said({**data, "state": "raised"}, now)
        head, facts = reports.alarm_card(data, now)
        return cards.Message(
            text=render.Mrkdwn(" ".join([*called, said])),
            blocks=[
                blocks.section(head),
                blocks.section(facts),
                *_remedy(data, self._catalog(), now),
                blocks.context(self._small_print(data, called, now)),
                *_button(data),
            ],
        )

    def _small_print(self, data: Data, called: list[render.Mrkdwn], now: datetime) -> render.Mrkdwn:
        raised = f"alarm {data['id']} since {render.when(_moment(data['raised']), now)}"
        knows = _knows(str(data["by"])) if data.get("by") else _REPEATS
        threads = ", ".join(str(self._link(each["id"])) for each in data["grants"])
        calls = f"called: {' '.join(called)}" if called else ""
        page = f"runbook: {RUNBOOK[Alarm(data['alarm'])]}"
        return render.Mrkdwn(" · ".join(filter(None, [calls, raised, knows, threads, page])))


def _knows(who: str) -> str:
    return f"{render.name(render.short(who))} knows about this, so it is not repeated"


def finding(data: Data) -> cards.Message:
    """Record and reality differ: what it is and means, and beneath it what to type."""
    said = reports.finding(data)
    typed = "" if data.get("over") or data.get("done") else str(data.get("command") or "")
    parts = [blocks.section(said), blocks.verbatim(typed)] if typed else []
    text = f"{said} {render.escape(typed)}" if typed else said
    return cards.Message(text=render.Mrkdwn(text), blocks=parts)


def _past(data: Data, why: str, now: datetime) -> cards.Message:
    """What an earlier card shrinks to."""
    raised = render.when(_moment(data["raised"]), now)
    what = f"{data['alarm']} on {data['target']}"
    said = render.Mrkdwn(
        f"{render.escape(what)}, alarm {data['id']} since {raised}: {render.escape(why)}"
    )
    return cards.Message(text=said, blocks=[blocks.context(said)])


def _remedy(data: Data, catalog: catalogs.Catalog, now: datetime) -> list[blocks.Block]:
    """What to type, where something can be typed."""
    typed = _command(data, catalog, now)
    return [blocks.verbatim(typed)] if typed else []


def _command(data: Data, catalog: catalogs.Catalog, now: datetime) -> str:
    target = catalog.targets.get(str(data["target"]))
    match data["alarm"]:
        case Alarm.OVERDUE if target is None or reports.outlives_its_end(data, now):
            return by_hand([str(each["role"]) for each in data["grants"]])
        case Alarm.OVERDUE if target:
            return f"jit sweep --target-url-env {target.url_env}"
        case Alarm.UNCLEAN:
            return "\n".join(f"jit show {each['id']}" for each in data["grants"])
        case Alarm.ENDS_ONLY:
            return "jit catalog lint"
    return ""


def by_hand(roles: Sequence[str]) -> str:
    """What ends access without us: the door first. A role's own sweep waits for its deadline."""
    names = ", ".join(f"'{role}'" for role in roles)
    return "\n".join(
        [
            *(f"ALTER ROLE {role} NOLOGIN;" for role in roles),
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ({names});",
        ]
    )


def _button(data: Data) -> list[blocks.Block]:
    if data.get("by"):
        return []
    press = blocks.button(
        "Acknowledge", Act.ACKNOWLEDGE, data["id"], label="Acknowledge this alarm"
    )
    return [blocks.actions(f"alarm.{data['id']}", press)]


def _spoken(text: render.Mrkdwn) -> cards.Message:
    return cards.Message(text=text, blocks=[])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
