"""What a case finds: sizes, a folder, the place on the default server, and the peers that run."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import measure, openbao, place

Told = measure.Line | measure.Verdict
Case = Callable[["Stage"], Iterator[Told]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is done."""

    rounds: int
    repeats: int  # of many ends at once: a single one may meet a disk that has other things to do
    seconds: float  # of each concurrency run
    live: tuple[int, ...]  # live grants at which the cost of one more is measured
    at_once: int  # simultaneous grants on one table
    bursts: tuple[int, ...]  # ends in one instant
    waiting: tuple[int, ...]  # other grants on the record while one ends
    in_memory: int  # live grants of the process whose memory is read
    killed: int  # ends during which the service is killed
    switch: int  # live grants at the kill switch
    events: int  # in the audit chain
    commands: int  # in one instant
    refreshes: int  # of the sockets while commands come
    lines: int  # to be said under Slack's limits, at least
    cycles: int  # for catalog hygiene
    companies: str  # how much of their time is lived through, see `bench.company`


FULL = Sizes(
    rounds=300,
    repeats=5,
    seconds=4.0,
    live=(100, 1_000, 10_000, 50_000),
    at_once=5_000,
    bursts=(100, 1_000, 10_000),
    waiting=(1_000, 100_000),
    in_memory=10_000,
    killed=1_000,
    switch=1_000,
    events=1_000_000,
    commands=200,
    refreshes=30,
    lines=1_000,
    cycles=10_000,
    companies="full",
)
USUAL = replace(FULL, rounds=100, seconds=2.4, refreshes=12, companies="usual")
SMALL = Sizes(
    rounds=12,
    repeats=1,
    seconds=1.0,
    live=(100, 1_000),
    at_once=2_600,
    bursts=(50, 200),
    waiting=(500, 2_000),
    in_memory=1_000,
    killed=150,
    switch=150,
    events=10_000,
    commands=50,
    refreshes=4,
    lines=200,
    cycles=150,
    companies="small",
)
GOAL = FULL  # the sizes that the goals name

SIZES = {"small": SMALL, "usual": USUAL, "full": FULL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything around one case."""

    sizes: Sizes
    folder: Path
    at: place.Place
    older: place.Place | None  # on the oldest version, where it is installed
    baos: tuple[openbao.Bao, ...]  # on disk and in memory, or none

    @contextmanager
    def fresh(self) -> Iterator[place.Place]:
        """A place on a server of its own: thousands of roles go with it, and need no dropping."""
        folder = self.folder / f"own-{secrets.token_hex(4)}"
        with place.serving(folder) as server:
            yield place.Place(server, "bench")
