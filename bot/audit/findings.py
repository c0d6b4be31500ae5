"""What reconciling found and nobody has put right yet: kept by target, told in the digest."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from bot import store as stores

_PREFIX = "findings:"  # followed by the target's name


class Kind(StrEnum):
    """How record and reality differ."""

    ORPHAN = "orphan"  # a role of ours without a live grant
    OVERDUE = "overdue"  # a role that can be used after its end
    DRIFTED = "drifted"  # a role that is not as it was made
    LOOK_ALIKE = "look-alike"  # a role named like ours that is not
    MISSING = "missing"  # a live grant whose role is gone
    GONE = "gone"  # the target does not answer, or its mark is gone
    RESTORED = "restored"  # the target came back from a backup, or is another server


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference: what it is, and what to do about it, for people."""

    kind: Kind
    target: str
    what: str
    proposal: str
    command: str = ""  # what to type about it, complete; the proposal says where
    role: str = ""
    grant_id: str | None = None
    done: str = ""  # what was done about it by ourselves

    @property
    def key(self) -> str:
        """Equal for the same difference at every look."""
        told = [self.kind, self.target, self.role, self.grant_id, self.what]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def open_of(store: stores.Store, target: str) -> tuple[Finding, ...]:
    """What was found at the latest look at that target."""
    return _understood(_PREFIX + target, store.get(_PREFIX + target) or "[]")


def all_open(store: stores.Store) -> tuple[Finding, ...]:
    """What was found at the latest look at every target."""
    kept = store.kept(_PREFIX)
    return tuple(finding for key in sorted(kept) for finding in _understood(key, kept[key]))


def keep(tx: stores.Transaction, target: str, found: Iterable[Finding]) -> None:
    """Remember these as what is open on that target."""
    tx.put(_PREFIX + target, json.dumps([asdict(finding) for finding in found]))


def _understood(key: str, text: str) -> tuple[Finding, ...]:
    return stores.understood(key, text, _read) or ()


def _read(text: str) -> tuple[Finding, ...]:
    known = {str(kind) for kind in Kind}  # an older version kept kinds that are told elsewhere now
    return tuple(
        Finding(**{**told, "kind": Kind(told["kind"])})
        for told in json.loads(text)
        if told["kind"] in known
    )
