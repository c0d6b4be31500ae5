"""How a bot is doing, read from its record alone: what `jit status` shows and a monitor watches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import model, store
from bot.ending import phases
from bot.granting import skew
from bot.telling import notices
from bot.watching import ringing

SILENT_AFTER = timedelta(seconds=60)  # without a heartbeat
WAITS_AFTER = timedelta(minutes=5)  # a message, or an activation, that takes so long
HEARTBEAT = "heartbeat"  # the key under which the running bot keeps it
_LINKS = 200  # of the chain, from its end
_LACKS = {
    notices.Alarm.ENDS_ONLY: "Nothing is granted, what is live ends: the catalog cannot be used. {why}",
    notices.Alarm.STRANDED: "There is no connection to {what}, where {live} live. {why}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A grant that takes longer than it may."""

    id: str
    target: str
    since: datetime
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it, at one moment."""

    at: datetime
    heartbeat: datetime | None
    replicas: int  # processes that gave a sign of life lately
    live: dict[str, int]  # grants by status
    overdue: tuple[Late, ...]  # should have ended and perhaps have not
    cleanup_pending: tuple[Late, ...]  # access has surely ended, something remains
    activating_long: tuple[Late, ...]
    outbox: int  # messages that wait
    outbox_oldest: datetime | None
    chain_problem: str | None  # in the latest events; None: they hold
    skews: tuple[skew.Measured, ...]
    alarms: tuple[ringing.Open, ...]

    @property
    def heartbeat_age(self) -> timedelta | None:
        """None when there never was one."""
        return self.at - self.heartbeat if self.heartbeat else None

    @property
    def outbox_age(self) -> timedelta:
        """How long the oldest message has been waiting."""
        return self.at - self.outbox_oldest if self.outbox_oldest else timedelta(0)

    @property
    def problems(self) -> tuple[str, ...]:
        """What needs a person, in words."""
        return tuple(_problems(self))


def read(kept: store.Store, now: datetime) -> Status:
    """Everything at once. Raises StoreError, Busy."""
    grants = [each for target in kept.live_by_target() for each in kept.live_on(target)]
    beat = kept.get(HEARTBEAT)
    return Status(
        at=now,
        heartbeat=datetime.fromisoformat(beat) if beat else None,
        replicas=sum(each.silent_for <= SILENT_AFTER for each in kept.replicas()),
        live={s.value: sum(g.status is s for g in grants) for s in sorted(model.LIVE_GRANT)},
        overdue=tuple(_late(g, phases.due_since(g)) for g in grants if is_overdue(g, now)),
        cleanup_pending=tuple(
            _late(g, g.access_ended_at) for g in grants if g.access_ended_at is not None
        ),
        activating_long=tuple(
            _late(g, g.created_at)
            for g in grants
            if g.status is model.GrantStatus.ACTIVATING and now - g.created_at > WAITS_AFTER
        ),
        outbox=kept.outbox_depth(),
        outbox_oldest=kept.outbox_oldest(),
        chain_problem=kept.check_chain_end(_LINKS),
        skews=skew.latest(kept, now),
        alarms=ringing.everything(kept),
    )


def is_overdue(grant: model.Grant | store.Brief, now: datetime) -> bool:
    """Whether access should have ended by the published limit and perhaps has not."""
    had = grant.activated_at is not None and grant.access_ended_at is None
    return had and now - phases.due_since(grant) > phases.CLOSED_WITHIN


def _late(grant: model.Grant | store.Brief, since: datetime) -> Late:
    return Late(id=grant.id, target=grant.target, since=since, error=grant.last_error or "")


def _problems(found: Status) -> Iterator[str]:
    age = found.heartbeat_age
    if age is None or age > SILENT_AFTER:
        ago = f"no sign of life for {age.total_seconds():,.0f} s" if age else "never heard of it"
        yield f"The bot does not run ({ago}). Start it, or run `jit sweep` against each target."
    yield from _lacking(found)
    for late in found.overdue:
        yield f"{late.id} is overdue on {late.target}: access may still exist. {late.error}".strip()
    for late in found.cleanup_pending:
        if found.at - late.since > phases.CLEANED_WITHIN:
            yield f"{late.id}: access to {late.target} has ended, cleanup is pending. {late.error}"
    for late in found.activating_long:
        yield f"{late.id} is not granted yet on {late.target}. {late.error}".strip()
    if found.outbox_age > WAITS_AFTER:
        seconds = found.outbox_age.total_seconds()
        yield f"{found.outbox} messages wait, the oldest for {seconds:,.0f} s."
    if found.chain_problem:
        yield f"The audit chain does not hold: {found.chain_problem}. See `jit audit verify`."
    for measured in found.skews:
        if measured.large:
            yield f"{skew.sentence(measured)}."


def _lacking(found: Status) -> Iterator[str]:
    """What the set-up lacks, as the alarms about it tell."""
    for about in (each.condition for each in found.alarms):
        if about.kind in _LACKS:
            live = f"{len(about.grants)} grant{' is' if len(about.grants) == 1 else 's are'}"
            yield _LACKS[about.kind].format(what=about.target, live=live, why=about.error).strip()


def metrics(found: Status) -> str:
    """The same for Prometheus, in its text format.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    return "".join(f"{line}\n" for line in _metrics(found))


def _metrics(found: Status) -> Iterator[str]:
    age = found.heartbeat_age
    yield from _gauge("jit_up", "Whether the bot gave a sign of life lately.", {"": _up(age)})
    if age is not None:
        yield from _gauge("jit_heartbeat_age_seconds", "Since then.", {"": age.total_seconds()})
    states = {_labels(status=name): count for name, count in found.live.items()}
    yield from _gauge("jit_grants", "Grants that are live, by status.", states)
    for name, help_, value in (
        ("jit_replicas", "Processes that gave a sign of life lately.", found.replicas),
        ("jit_overdue", "Access that should have ended and may exist.", len(found.overdue)),
        ("jit_cleanup_pending", "Access has ended, cleanup pending.", len(found.cleanup_pending)),
        ("jit_activating_long", "Grants long in coming.", len(found.activating_long)),
        ("jit_outbox_waiting", "Messages that wait.", found.outbox),
        ("jit_outbox_oldest_seconds", "Age of the oldest.", found.outbox_age.total_seconds()),
        ("jit_chain_ok", "Whether the latest audit events hold.", found.chain_problem is None),
        ("jit_needs_a_person", "How many things do.", len(found.problems)),
    ):
        yield from _gauge(name, help_, {"": value})
    skews = {
        _labels(target=each.target, machine=each.machine): each.ahead.total_seconds()
        for each in found.skews
    }
    yield from _gauge("jit_clock_skew_seconds", "Of the target against the bot.", skews)
    opened = {
        _labels(
            alarm=str(each.condition.kind),
            target=each.condition.target,
            acknowledged=str(each.acknowledged_at is not None).lower(),
        ): 1
        for each in found.alarms
    }
    yield from _gauge("jit_alarm", "Alarms that are not over.", opened)


def _up(age: timedelta | None) -> bool:
    return age is not None and age <= SILENT_AFTER


def _gauge(name: str, help_: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} gauge"
    for labels, value in values.items():
        yield f"{name}{labels} {float(value):g}"


def _labels(**labels: str) -> str:
    told = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(told)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
