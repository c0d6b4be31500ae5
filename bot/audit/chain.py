"""The audit chain from outside: is it whole, does it still hold a head that was seen, and as text."""

from collections.abc import Iterator
from dataclasses import replace

from bot import store as stores


def verify(
    store: stores.Store, *, witness: tuple[int, str] | None = None, whole: bool = True
) -> stores.Verification:
    """Walk the chain; the first event that was edited, deleted or moved is named.

    A tail that was cut off leaves no trace in the chain itself. `witness` is a (seq, hash) kept
    elsewhere, such as a digest's chain head: the chain must still hold it. The hash may be its
    beginning. Not `whole`: from the witness on, for who has walked up to there before.
    """
    seq, seen = witness or (0, "")
    found = store.verify_chain(0 if whole else seq)
    if seq == 0 or not found.ok:
        return found
    event = next(iter(store.events(seq - 1, 1)), None)
    if event is None or event.seq != seq:
        problem = f"the chain ends at {found.count}, but event {seq} was seen"
    elif not event.hash.startswith(seen):
        problem = "it is not the event that was seen"
    else:
        return found
    return replace(found, bad_seq=min(seq, found.count + 1), problem=problem)


def holds(store: stores.Store, head: str) -> bool:
    """Whether an event's hash begins so: whether a head that was noted elsewhere is still in it."""
    return store.holds_hash(head.casefold())


def export_jsonl(store: stores.Store, *, after: int = 0) -> Iterator[str]:
    """Every event behind that number as one line `{"event":…,"hash":"…"}`, without line ends.

    What stands under "event" is the very text that was hashed, byte for byte.
    """
    for body, hash_ in store.texts(after):
        yield f'{{"event":{body},"hash":"{hash_}"}}'
