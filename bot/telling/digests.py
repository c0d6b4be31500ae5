"""When the digest is said: at one local hour, about all the time since the digest before.

Nothing falls between two digests: each begins at the moment at which the one before ended. A bot
that was down over the hour says one digest for the whole time when it is back.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot import catalog as catalogs
from bot import clock as clocks
from bot import store
from bot.audit import digest
from bot.telling import notices

_LAST = "digest.until"  # the moment (ISO, UTC) up to which everything has been told
_FIRST = timedelta(days=1)  # how far the very first one looks back


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
        """Say the digest up to the latest hour for it, unless that was done; whether it was said.

        Its moment is its key, so that of several replicas only one says it.
        """
        wanted = self._catalog().digest
        if wanted is None:
            return False
        now = self._clock.now()
        until, last = moment(now, wanted), self._store.get(_LAST)
        since = datetime.fromisoformat(last) if last else until - _FIRST
        if since >= until:
            return False
        zone = wanted.zone.key
        said = digest.of_period(self._store, since=since, until=until, zone=zone, now=now)
        data = {"since": since.isoformat(), "until": until.isoformat(), "zone": zone}
        key = f"digest:{until.isoformat()}"
        with self._store.begin(store.SYSTEM) as tx:
            tx.alone()
            if tx.get(_LAST) != last:  # another replica was faster
                return False
            if said is not None:
                tx.say(notices.Kind.DIGEST, None, notices.AUDIT_LANE, data, key=key)
            tx.put(_LAST, until.isoformat())
        return said is not None


def moment(now: datetime, wanted: catalogs.DigestTime) -> datetime:
    """The latest moment, not after `now`, at which a digest was due; UTC.

    An hour that the clocks skip comes when they have; one that they repeat, the first time.
    """
    today = now.astimezone(wanted.zone).date()
    for day in (today, today - timedelta(days=1)):
        at = datetime.combine(day, wanted.at, tzinfo=wanted.zone).astimezone(UTC)
        if at <= now:
            break
    return at
