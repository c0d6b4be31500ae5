"""Claims on grants: which replica works on what, renewed while it works, over when it is dead.

A claim is a lease in the record (see `store.claims`). What is recorded after work on a target is
recorded under the claim's fence, so a process that was paused in the middle and wakes when another
has taken over records nothing. What it may still do to the target is made harmless where it is done.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot import clock as clocks
from bot import errors, model, store

_log = structlog.get_logger(__name__)

# A role must not come to be when another has taken over: `Engine.create` ends within 10 s of its
# call, and a claim on making is no older than FRESH then, or renewed.
MAKING = timedelta(seconds=13)
FRESH = 1.0  # seconds
ENDING = timedelta(seconds=6)  # a killed replica's ends are taken over so soon
RENEW_EVERY = 1.5  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    fence: int
    lease: timedelta
    taken: float  # not before this of `clock.passed()`
    fresh: float  # until this of `time.monotonic()` it needs no renewal


class Claims:
    """What this process works on. Thread-safe."""

    def __init__(self, *, store: store.Store, passed: Callable[[], float] = clocks.passed) -> None:
        """`passed`: seconds on a clock that goes on while we are paused."""
        self._store = store
        self._passed = passed
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}  # by grant
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def hold(
        self, grant_id: str, expected: model.GrantStatus, lease: timedelta
    ) -> Iterator[model.Grant | None]:
        """The grant, ours for the block; None when it moved on or somebody else works on it.

        Raises Busy and StoreError when the record does not answer.
        """
        began = self._passed()
        grant = self._store.claim_grant(grant_id, expected, self.name, lease)
        with self._holding(() if grant is None else (grant,), lease, began):
            yield grant

    @contextlib.contextmanager
    def hold_for(
        self, grant: model.Grant, lease: timedelta, **intended: object
    ) -> Iterator[model.Grant | None]:
        """As `hold`, as nobody has claimed it since it was read; with what is intended with it."""
        began = self._passed()
        held = self._store.claim_for(grant, self.name, lease, **intended)
        with self._holding(() if held is None else (held,), lease, began):
            yield held

    @contextlib.contextmanager
    def hold_ends(
        self, where: store.Waiting, now: datetime, most: int
    ) -> Iterator[tuple[model.Grant, ...]]:
        """As `hold`, some of the ends that wait there, for as long as an end is held; maybe none."""
        began = self._passed()
        grants = self._store.claim_ends(where, now, self.name, ENDING, most)
        with self._holding(grants, ENDING, began):
            yield grants

    @contextlib.contextmanager
    def _holding(
        self, grants: Sequence[model.Grant], lease: timedelta, began: float
    ) -> Iterator[None]:
        fresh = time.monotonic() + RENEW_EVERY
        with self._lock:
            for grant in grants:
                self._held[grant.id] = _Held(
                    fence=grant.fence, lease=lease, taken=began, fresh=fresh
                )
        try:
            yield
        finally:
            with self._lock:
                held = [(grant.id, self._held.pop(grant.id, None)) for grant in grants]
            left = {key: each.fence for key, each in held if each is not None}
            if left:
                self._release(left)

    def note_over(self, grants: Iterable[model.Grant]) -> None:
        """What was recorded of these ended our claims on them: nothing is left to be let go."""
        with self._lock:
            for grant in grants:
                self._held.pop(grant.id, None)

    def ensured(self, grant: model.Grant) -> bool:
        """Whether it is ours for nearly all of its lease from now on: taken just now, or renewed."""
        with self._lock:
            held = self._held.get(grant.id)
        if held is None:
            return False
        return self._passed() - held.taken < FRESH or self.still_ours(grant, held.lease)

    def still_ours(self, grant: model.Grant, lease: timedelta) -> bool:
        """Whether nobody has taken it over; if so it is ours for `lease` from now on."""
        return self._store.renew_grant(grant.id, grant.fence, lease)

    def start(self) -> None:
        """Renew what is held, from now on."""
        self._thread = threading.Thread(target=self._keep, name="claims", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether claims are being renewed."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Renew no more; what is abandoned runs out."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(RENEW_EVERY)

    def _keep(self) -> None:
        while not self._closing.wait(RENEW_EVERY):
            with self._lock:
                now = time.monotonic()
                old = {key: each for key, each in self._held.items() if each.fresh <= now}
            for lease in {each.lease for each in old.values()}:
                fences = {key: each.fence for key, each in old.items() if each.lease == lease}
                self._renew(fences, lease)

    def _renew(self, fences: Mapping[str, int], lease: timedelta) -> None:
        try:
            self._store.renew_grants(fences, lease)
        except Exception as error:  # noqa: BLE001 - the top of a thread; the next turn tries again
            _log.warning("claim_not_renewed", grants=sorted(fences), why=str(error))

    def _release(self, fences: Mapping[str, int]) -> None:
        try:
            self._store.release_grants(fences)
        except (errors.Busy, errors.StoreError) as error:  # they run out
            _log.warning("claim_not_released", grants=sorted(fences), why=str(error))
