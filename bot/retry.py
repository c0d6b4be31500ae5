"""How long to wait between attempts."""

from datetime import timedelta

FIRST = timedelta(seconds=0.5)
LONGEST = timedelta(seconds=30)


def pause(attempts: int) -> timedelta:
    """How long to wait after that many failed attempts: doubling, and never more than LONGEST."""
    doublings = min(max(attempts, 1) - 1, 10)
    return min(LONGEST, FIRST * float(2**doublings))
