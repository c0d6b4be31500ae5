"""The state database: the only place that knows SQLAlchemy. See `Store` and `Transaction`."""

from bot.store.actor import SYSTEM, Actor
from bot.store.brief import Brief
from bot.store.chain import GENESIS
from bot.store.change import Change
from bot.store.claims import Replica
from bot.store.doors import Door, Page, due_since
from bot.store.ends import Waiting
from bot.store.outbox import EACH, PLACE_KEY, OutboxRow
from bot.store.period import Few, Outline, Period
from bot.store.proof import Verification
from bot.store.readable import understood
from bot.store.repository import Store, open_store
from bot.store.transaction import Transaction

__all__ = [
    "EACH",
    "GENESIS",
    "PLACE_KEY",
    "SYSTEM",
    "Actor",
    "Brief",
    "Change",
    "Door",
    "Few",
    "OutboxRow",
    "Outline",
    "Page",
    "Period",
    "Replica",
    "Store",
    "Transaction",
    "Verification",
    "Waiting",
    "due_since",
    "open_store",
    "understood",
]
