"""`jit audit`: prove the record, or take it elsewhere."""

import string
from typing import Annotated

import typer

from bot import errors
from bot.cli import desk

app = typer.Typer(no_args_is_help=True, help="Prove or export the audit record.")
_SHORTEST_HEAD = 8  # hex digits of a hash that are enough to tell it from others


@app.command()
def verify(
    ctx: typer.Context,
    *,
    head: Annotated[
        str | None, typer.Option(help="A chain head noted earlier, as in the digest.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only from there on: SEQ:HASH, as this command printed it before."),
    ] = None,
    as_json: desk.AsJson = False,
) -> None:
    """Walk the whole chain. Exit code 1 when an event is not what was recorded."""
    from bot.audit import chain

    if head is not None:
        _check_hash("--head", head)
    witness = _checkpoint(since) if since is not None else None
    with desk.desk(ctx).store() as store:
        found = chain.verify(store, witness=witness, whole=witness is None)
        known = head is None or chain.holds(store, head)
    if as_json:
        desk.answer(
            {
                "ok": found.ok and known,
                "events": found.count,
                "head": found.head,
                "without_key": found.without_key,
                "bad_seq": found.bad_seq,
                "problem": found.problem or (None if known else "the noted head is not in it"),
            }
        )
    elif not found.ok:
        before = (
            f"Those before {witness[0]} were not walked"
            if witness
            else f"{found.count} before it are"
        )
        print(f"Event {found.bad_seq} is not right: {found.problem}. {before}.")
    elif not known:
        cut = "its end was cut off, or that is the head of another record"
        print(f"The chain of {found.count} events holds, but {head} is not in it: {cut}.")
    elif not found.count:
        print("Nothing is recorded yet.")
    elif witness is not None:
        print(f"Events {witness[0]} to {found.count} hold; the chain's head is {found.head}.")
    else:
        print(f"The chain of {found.count} events holds; its head is {found.head}.")
    raise typer.Exit(0 if found.ok and known else 1)


def _checkpoint(text: str) -> tuple[int, str]:
    seq, _, seen = text.partition(":")
    if not (seq.isdecimal() and int(seq)):
        raise errors.OperatorError("--since needs a number and a hash, like 120:0a1b2c3d.")
    _check_hash("--since", seen)
    return int(seq), seen.casefold()


def _check_hash(option: str, hash_: str) -> None:
    if len(hash_) < _SHORTEST_HEAD:
        raise errors.OperatorError(f"{option} needs at least {_SHORTEST_HEAD} digits of the hash.")
    if not set(hash_) <= set(string.hexdigits):
        raise errors.OperatorError(f"{option} is no hash: that has the digits 0 to 9 and a to f.")


@app.command()
def export(
    ctx: typer.Context,
    *,
    after: Annotated[int, typer.Option(help="Only events after this sequence number.")] = 0,
) -> None:
    """Print every audit event as one line of JSON, {"event": …, "hash": …}, first event first."""
    from bot.audit import chain

    with desk.desk(ctx).store() as store:
        for line in chain.export_jsonl(store, after=after):
            print(line)
