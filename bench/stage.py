"""What a case finds: sizes, a folder, the place on the default server, and the peer where it runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import measure, openbao, place

Told = measure.Line | measure.Verdict
Case = Callable[["Stage"], Iterator[Told]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is done. The usual size takes some ten minutes on two cores, the full one hours."""

    rounds: int
    seconds: float  # of each concurrency run
    live: tuple[int, ...]  # live grants at which the cost of one more is measured
    at_once: int  # simultaneous grants on one table
    bursts: tuple[int, ...]  # ends in one instant
    waiting: int  # other grants on the record while one ends
    killed: int  # ends during which the service is killed
    switch: int  # live grants at the kill switch
    events: int  # in the audit chain
    commands: int  # in one instant
    cycles: int  # for catalog hygiene


FULL = Sizes(
    rounds=300,
    seconds=3.0,
    live=(100, 1_000, 10_000, 50_000),
    at_once=5_000,
    bursts=(100, 1_000, 10_000),
    waiting=100_000,
    killed=1_000,
    switch=1_000,
    events=1_000_000,
    commands=200,
    cycles=10_000,
)
USUAL = Sizes(
    rounds=30,
    seconds=2.0,
    live=(100, 1_000, 5_000),
    at_once=5_000,
    bursts=(100, 300),
    waiting=5_000,
    killed=200,
    switch=300,
    events=50_000,
    commands=200,
    cycles=300,
)
SMALL = Sizes(
    rounds=12,
    seconds=0.7,
    live=(100, 1_000),
    at_once=2_600,
    bursts=(50, 200),
    waiting=2_000,
    killed=150,
    switch=150,
    events=10_000,
    commands=50,
    cycles=150,
)

SIZES = {"small": SMALL, "usual": USUAL, "full": FULL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything around one case."""

    sizes: Sizes
    folder: Path
    at: place.Place
    older: place.Place | None  # on the oldest version, where it is installed
    bao: openbao.Bao | None
