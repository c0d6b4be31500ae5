"""`jit status` and `jit ack`: how the bot is doing, and that somebody knows."""

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import clock as clocks
from bot import errors
from bot.cli import desk

if TYPE_CHECKING:
    from bot.watching import conditions
    from bot.watching import status as statuses

_NAMED = 5  # grants of an alarm; --json has all of them


def status(
    ctx: typer.Context,
    *,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Metrics, for a textfile collector.")
    ] = False,
    as_json: desk.AsJson = False,
) -> None:
    """Whether all is well, from the record alone. Exit code 1 when something needs a person."""
    from bot.granting import skew
    from bot.watching import status as statuses

    if prometheus and as_json:
        raise errors.OperatorError("Give --json or --prometheus, not both.")
    clock = clocks.SystemClock()
    with desk.desk(ctx).store(clock) as store:
        found = statuses.read(store, skew.present(store, clock.now()))
    if as_json:
        desk.answer(_plain(found))
    elif prometheus:
        print(statuses.metrics(found), end="")
    else:
        _print(found)
    raise typer.Exit(1 if found.problems else 0)


def ack(ctx: typer.Context, alarm_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Say that you know about an alarm: it is not repeated any more. Its state stays as it is."""
    from bot.cli import ending
    from bot.watching import alarms

    clock = clocks.SystemClock()
    with desk.desk(ctx).store(clock) as store:
        alarm = alarms.Alarms(
            store=store,
            engines={},
            catalog=ending.no_catalog,
            directory=ending.Nobody(),
            clock=clock,
        ).acknowledge_as_operator(alarm_id, getpass.getuser())
    print(f"{alarm.id}: acknowledged; {alarm.condition.kind} on {alarm.condition.target} goes on.")


def _plain(found: "statuses.Status") -> dict[str, Any]:
    age = found.heartbeat_age
    return {
        "ok": not found.problems,
        "problems": list(found.problems),
        "at": found.at,
        "heartbeat": found.heartbeat,
        "heartbeat_age": age.total_seconds() if age is not None else None,
        "live": found.live,
        "overdue": [asdict(each) for each in found.overdue],
        "cleanup_pending": [asdict(each) for each in found.cleanup_pending],
        "activating_long": [asdict(each) for each in found.activating_long],
        "outbox": found.outbox,
        "outbox_age": found.outbox_age.total_seconds(),
        "chain_problem": found.chain_problem,
        "clock_skew": [
            {"target": m.target, "machine": m.machine, "seconds": m.ahead.total_seconds()}
            for m in found.skews
        ],
        "alarms": [
            {
                "id": each.id,
                "alarm": each.condition.kind,
                "target": each.condition.target,
                "since": each.condition.since,
                "grants": each.condition.grants,
                "error": each.condition.error,
                "acknowledged_by": each.acknowledged_by,
            }
            for each in found.alarms
        ],
    }


def _print(found: "statuses.Status") -> None:
    age = found.heartbeat_age
    print(f"last sign of life  {f'{age.total_seconds():.0f} s ago' if age is not None else 'none'}")
    live = ", ".join(f"{count} {name}" for name, count in found.live.items() if count)
    print(f"live               {live or 'nothing'}")
    print(f"overdue            {len(found.overdue)}")
    print(f"cleanup pending    {len(found.cleanup_pending)}")
    print(f"messages waiting   {found.outbox}")
    for each in found.alarms:
        known = f", {each.acknowledged_name} knows" if each.acknowledged_name else ""
        print(desk.visible(f"alarm {each.id}     {_about(each.condition)}{known}"))
    print()
    for problem in found.problems:
        print(desk.visible(problem))
    if not found.problems:
        print("Nothing needs a person.")


def _about(condition: "conditions.Condition") -> str:
    """`overdue on shop: 5d9gb8me, 8dxy9tvs and 3 more`, as it is by now."""
    ids, rest = condition.grants[:_NAMED], len(condition.grants) - _NAMED
    named = ", ".join(ids) + (f" and {rest} more" if rest > 0 else "")
    where = f"{condition.kind} on {condition.target}"
    return f"{where}: {named}" if named else where
