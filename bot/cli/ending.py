"""`jit revoke` and `jit shorten`: an operator ends access, through the record.

These commands only write what is to happen; the running bot, which notices at once, does it. So they
work without a target's password, and what they did is in the audit like everything else.
"""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot import clock as clocks
from bot import errors, model
from bot.catalog import duration
from bot.cli import desk

if TYPE_CHECKING:
    from bot import store as stores
    from bot.asking import grants as grants_

_POLL = 0.2  # seconds


def revoke(
    ctx: typer.Context,
    grant_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every grant there is.")] = False,
    comment: Annotated[str, typer.Option(help="Why; it is told to the requester.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Return when access has ended.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 60.0,
) -> None:
    """End a grant now: sessions are cut, the role is removed."""
    if (grant_id is None) is not everything:
        raise errors.OperatorError("Name one grant, or --all of them.")
    with _grants(ctx) as (grants, store):
        ids: list[str] = []
        try:
            for some in _revoked(grants, grant_id, comment):
                ids += some
                print("".join(f"{one}: revoking.\n" for one in some), end="")
        except errors.TooLate as already:
            ids += _ending_already(store, grant_id if wait else None)
            if not ids:
                raise
            print(f"{ids[0]}: {already}")
        if not ids:
            print("Nothing is granted.")
        elif wait:
            _wait(store, ids, patience)


def shorten(
    ctx: typer.Context,
    grant_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    left: Annotated[str, typer.Option(help="What is to be left of it, like 60s or 5m.")],
) -> None:
    """Bring a grant's deadline nearer; never later."""
    with _grants(ctx) as (grants, _store):
        grant = grants.shorten(desk.id_of(grant_id), _left(left), getpass.getuser())
    print(f"{grant.id}: ends at {desk.moment(grant.expires_at)}.")


def give_up(
    ctx: typer.Context,
    grant_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    because: Annotated[str, typer.Option(help="Why it can never be proven; it is told.")],
) -> None:
    """Close the record of an end that can never be proven: its server is gone for good."""
    from bot.ending import giveup

    with desk.desk(ctx).store(clocks.SystemClock()) as store:
        known = store.find_grant(desk.id_of(grant_id))
        if known is None:
            raise errors.NotFound(f"There is no grant {desk.visible(grant_id)}.")
        grant = giveup.give_up(store, known.id, because, getpass.getuser())
    so = "access had ended" if grant.access_ended_at else "nothing proves that access has ended"
    print(f"{grant.id}: given up; {so}.")


def _revoked(
    grants: "grants_.Grants", grant_id: str | None, comment: str
) -> Iterator[tuple[str, ...]]:
    """That grant, or every one, a batch at a time. Raises NotFound, TooLate for a single one."""
    login = getpass.getuser()
    if grant_id is None:
        yield from grants.revoke_all_as_operator(login, comment)
    else:
        grants.revoke_as_operator(desk.id_of(grant_id), login, comment)
        yield (desk.id_of(grant_id),)


def _ending_already(store: "stores.Store", grant_id: str | None) -> list[str]:
    """That grant, if it can still be waited for."""
    known = store.find_grant(desk.id_of(grant_id)) if grant_id is not None else None
    return [known.id] if known is not None and known.status in model.LIVE_GRANT else []


@contextmanager
def _grants(ctx: typer.Context) -> Iterator[tuple["grants_.Grants", "stores.Store"]]:
    """The use cases of grants on the record alone: no target, no Slack, not even a catalog."""
    from bot.asking import grants as grants_

    clock = clocks.SystemClock()
    with desk.desk(ctx).store(clock) as store:
        yield (
            grants_.Grants(
                store=store, engines={}, catalog=no_catalog, directory=Nobody(), clock=clock
            ),
            store,
        )


def _left(text: str) -> timedelta:
    if text.strip().rstrip("smh") == "0":
        return timedelta(0)
    try:
        return duration.parse(text)
    except ValueError as wrong:
        raise errors.OperatorError(f"--left: {wrong}.") from None


def _wait(store: "stores.Store", ids: list[str], patience: float) -> None:
    """Until all have ended, or OperatorError that says which have not and why."""
    until = time.monotonic() + patience
    while True:
        left = [g for g in map(store.grant, ids) if g.status in model.LIVE_GRANT]
        if not left:
            print("Ended, and verified gone.")
            return
        if time.monotonic() >= until:
            break
        time.sleep(_POLL)
    for grant in left:
        access = "access has ended, cleaning up" if grant.access_ended_at else "still has access"
        print(f"{grant.id}: {access}; {grant.last_error or 'is the bot running?'}")
    raise typer.Exit(1)


def no_catalog() -> NoReturn:
    """No catalog is read for an operator."""
    raise errors.CatalogError("An operator's end needs no catalog.")


class Nobody:
    """No people: an operator acts under their login."""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:  # noqa: ARG002  a port
        """Slack is not asked."""
        raise errors.IdentityUnknown

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:  # noqa: ARG002
        """Slack is not asked."""
        return None

    def resolve_channel(self, ref: str) -> str | None:  # noqa: ARG002
        """Slack is not asked."""
        return None

    def reason(self, ref: str) -> str | None:  # noqa: ARG002
        """There is none."""
        return None
