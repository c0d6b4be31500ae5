"""All on a server that concerns us, read in one round trip: marked roles and look-alikes."""

import json
from datetime import UTC, datetime
from typing import Any

from db_grants import naming
from db_grants.postgres import links, queries
from db_grants.spec import FoundRole, Survey


def of_server(link: links.Link) -> Survey:
    """What the server itself remembers, without any other record."""
    server, roles = link.ask(
        queries.query("survey_server", bookkeeping=naming.BOOKKEEPING),
        queries.query(
            "survey_roles",
            bookkeeping=naming.BOOKKEEPING,
            quarantine=naming.QUARANTINE,
            temporary=naming.TEMPORARY,
            can_end=queries.can_end(),
        ),
    )
    row = server[0]
    return Survey(
        at=row["at"].astimezone(UTC),
        identifier=row["identifier"],
        timeline=row["timeline"],
        written=int(row["written"]),
        prepared=row["prepared"],
        managed=tuple(_found(found) for found in roles if found["marked"]),
        lookalikes=tuple(_found(found) for found in roles if not found["marked"]),
    )


def _found(row: dict[str, Any]) -> FoundRole:
    remembered = _remembered(row["comment"])
    valid_until = _utc(row["valid_until"])
    return FoundRole(
        name=row["name"],
        oid=row["oid"],
        grant_id=_text(remembered.get("grant")),
        expires_at=_time(remembered.get("expires")) or valid_until,
        can_login=row["can_login"],
        valid_until=valid_until,
        connection_limit=row["connection_limit"],
        powers=tuple(row["powers"]),
        member_of=tuple(row["member_of"]),
        members=tuple(row["members"]),
        owned=row["owned"],
        privileges=row["privileges"],
        sessions=row["sessions"],
        administered=row["administered"],
    )


def _remembered(comment: str | None) -> dict[str, object]:
    """The note on a role, which anybody with enough power may have written anything into."""
    try:
        value = json.loads(comment or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    try:
        return _utc(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment and moment.tzinfo else None
