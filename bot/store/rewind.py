"""Back to an earlier time, once a clock that was far ahead has taught the record a wrong one.

Time goes back for nobody who has access: while a grant is live, its deadline was told by the wrong
clock, and an earlier time would be so much more of it.
"""

import re
from datetime import datetime

import sqlalchemy as sa

from bot import errors
from bot.store import tables
from bot.store.transaction import Transaction

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")


def forget_after(tx: Transaction, told: datetime) -> None:
    """Let the present be `tx.at` again, though the record has told `told`. Raises NotAllowed.

    What is kept by key with a later time in it (a heartbeat, a measurement, an alarm) is forgotten,
    and found out anew; messages that wait for a later time wait no more.
    """
    live = sum(tx.live_by_target().values())
    if live:
        words = "A grant is live" if live == 1 else f"{live} grants are live"
        raise errors.NotAllowed(
            f"{words}, and an earlier time would be so much more of it. "
            "End what is live first: start the bot, `jit revoke --all --wait`, and stop it."
        )
    for key, value in tx.kept("").items():
        if _latest(value) > tx.at:
            tx.forget(key)
    waiting = tables.outbox.c.not_before
    tx.connection.execute(sa.update(tables.outbox).where(waiting > tx.at).values(not_before=None))
    data = {"from": told.isoformat(), "to": tx.at.isoformat()}
    tx.record("clock.rewound", None, data)


def _latest(value: str) -> datetime:
    """The latest time that is told in it."""
    found = [datetime.fromisoformat(moment) for moment in _MOMENT.findall(value)]
    return max(found, default=datetime.fromisoformat("0001-01-01T00:00:00+00:00"))
