"""The catalog to go by while the file cannot be used: the last good one, for ends alone.

What is live must end whatever has become of the file, so a bot that could not read it may not stay
away. From the last good catalog come the channels, whom alarms call, who may revoke and where the
targets are; nothing is granted by it.
"""

import dataclasses
import hashlib
from pathlib import Path

import structlog

from bot import catalog as catalogs
from bot import errors, store
from bot.telling import notices

_log = structlog.get_logger(__name__)

_KEPT = "catalog.last"


def remember(kept: store.Store, path: Path, catalog: catalogs.Catalog) -> None:
    """Keep the text of a catalog that was just read from `path` and found good. Holds no secret."""
    try:
        text = path.read_bytes()
        if hashlib.sha256(text).hexdigest() != catalog.version:  # changed since it was read
            return
        if kept.get(_KEPT) != text.decode():
            kept.put(_KEPT, text.decode())
    except (OSError, errors.Busy, errors.StoreError) as error:  # the next start keeps it
        _log.warning("catalog_unremembered", why=str(error))


def ends_only(kept: store.Store, wrong: errors.CatalogError) -> catalogs.Catalog:
    """What to go by instead of a file about which `wrong` was said."""
    why = brief(wrong)
    text = kept.get(_KEPT)
    if text is not None:
        try:
            return dataclasses.replace(catalogs.loads(text), unusable=why)
        except errors.CatalogError as outdated:  # good to an earlier version of this program
            _log.warning("last_catalog_unusable", why=brief(outdated))
    return _bare(_where_cards_are(kept), why)


def brief(wrong: errors.CatalogError) -> str:
    """The first complaint as a sentence, and how many more there are."""
    first, *more = str(wrong).splitlines()
    first = first.rstrip(".")
    return f"{first} (and {len(more)} more)." if more else f"{first}."


def _bare(channel: str, why: str) -> catalogs.Catalog:
    return catalogs.Catalog(
        channels=catalogs.Channels(approvals=channel, audit=channel),
        digest=None,
        targets={},
        entitlements={},
        rules={},
        version="",
        unusable=why,
    )


def _where_cards_are(kept: store.Store) -> str:
    """The channel in which what is live was asked for; "" when none of it has a card."""
    card = kept.message_of_live(notices.Kind.CARD)
    return card.channel_id if card is not None else ""
