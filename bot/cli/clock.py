"""`jit clock`: what time it is for the bot, and back from a time that was wrong."""

import getpass
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from bot import clock as clocks
from bot import errors
from bot.cli import desk

if TYPE_CHECKING:
    from bot import store as stores

LISTEN = 12.0  # seconds; a bot that runs gives a sign of life every ten
_POLL = 0.2  # seconds


def clock(
    ctx: typer.Context,
    *,
    reset: Annotated[
        bool, typer.Option("--reset", help="Believe this machine again. The bot must be stopped.")
    ] = False,
) -> None:
    """What time the record has reached, which the bot never goes back behind.

    Exit code 1 when that is ahead of this machine's clock by more than clocks may differ.
    """
    telling = clocks.SystemClock()
    with desk.desk(ctx).store(telling) as store:
        recorded, machine = telling.now(), datetime.now(UTC)
        ahead = max(timedelta(0), recorded - machine)
        if reset:
            _reset(store, ahead)
            return
    print(f"this machine  {desk.moment(machine)}")
    print(f"the record    {desk.moment(recorded)}")
    if ahead > clocks.LIMIT:
        print(f"The record is {_seconds(ahead)} s ahead. {REMEDY}")
        raise typer.Exit(1)


REMEDY = (
    "If this machine's clock is right, end what is live, stop the bot, and run `jit clock --reset`."
)


def _reset(store: "stores.Store", ahead: timedelta) -> None:
    from bot import store as stores

    if not ahead:
        print("The record is not ahead of this machine. Nothing was changed.")
        return
    _nobody_runs(store)
    login = getpass.getuser()
    store.rewind(datetime.now(UTC), stores.Actor(kind="operator", id=login, name=login))
    print(f"The record was {_seconds(ahead)} s ahead and goes by this machine's clock again.")


def _nobody_runs(store: "stores.Store") -> None:
    """A bot that runs would teach the record its time again. Its sign of life cannot be dated, as
    time itself is in doubt, but it can be heard.
    """
    from bot.watching import status

    before, end = store.get(status.HEARTBEAT), time.monotonic() + LISTEN
    while time.monotonic() < end:
        if store.get(status.HEARTBEAT) != before:
            raise errors.OperatorError("The bot runs. Stop it first.")
        time.sleep(_POLL)


def _seconds(ahead: timedelta) -> str:
    return f"{ahead.total_seconds():,.0f}"
