"""When the daily digest is said: once a local day, also when we were down at its hour."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot import catalog as catalogs
from bot import clock as clocks
from bot import notices, store
from bot.audit import digest

_LAST = "digest.last"  # the local day on which the digest was last thought of


class Digests:
    """Says the digest when it is due."""

    def __init__(
        self,
        *,
        store: store.Store,
        catalog: Callable[[], catalogs.Catalog],
        clock: clocks.Clock,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    def say_if_due(self) -> bool:
        """Say yesterday's digest unless that was done today, or nothing happened; whether said."""
        wanted = self._catalog().digest
        if wanted is None:
            return False
        here = self._clock.now().astimezone(wanted.zone)
        today = here.date().isoformat()
        if not due(here, wanted) or self._store.get(_LAST) == today:
            return False
        yesterday, zone = here.date() - timedelta(days=1), wanted.zone.key
        found = digest.of_day(self._store, day=yesterday, zone=zone, now=self._clock.now())
        said = found is not None
        if said:
            with self._store.begin(store.SYSTEM) as tx:
                data = {"day": yesterday.isoformat(), "zone": zone}
                tx.say(notices.Kind.DIGEST, None, notices.AUDIT_LANE, data, key=f"digest:{today}")
        self._store.put(_LAST, today)
        return said


def due(here: datetime, wanted: catalogs.DigestTime) -> bool:
    """Whether the digest's hour has come on this local day."""
    return here.time() >= wanted.at
