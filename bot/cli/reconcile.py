"""`jit reconcile`: compare the record with what is really in the targets, now."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot import clock as clocks
from bot import errors, logs
from bot.cli import desk

if TYPE_CHECKING:
    from bot.audit import findings


def reconcile(
    ctx: typer.Context,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="One target; else all.")
    ] = None,
    *,
    as_json: desk.AsJson = False,
) -> None:
    """Compare record and reality; end orphans whose time is over. Exit code 1: they differ."""
    from bot import catalog as catalogs
    from bot.comparing import reconcile as reconciling
    from db_grants import postgres

    logs.configure("error", as_json=as_json)  # what is found is the answer, not the log
    opened = desk.desk(ctx)
    settings, clock = opened.settings(), clocks.SystemClock()
    named = catalogs.placed(opened.catalog(), settings.target_database).targets
    if target is not None and target not in named:
        raise errors.NotFound(f"There is no target {target}; the catalog has {', '.join(named)}.")
    engines = {
        name: postgres.PostgresEngine(settings.target_url(known.url_env).reveal(), clock=clock.now)
        for name, known in named.items()
        if target in (None, name)
    }
    try:
        with opened.store(clock) as store:
            looking = reconciling.Reconciler(store=store, engines=engines, clock=clock)
            found = [one for name in engines for one in looking.look_now(name)]
    finally:
        for engine in engines.values():
            engine.dispose()
    _answer(found, as_json=as_json)


def _answer(found: "list[findings.Finding]", *, as_json: bool) -> NoReturn:
    if as_json:
        desk.answer([asdict(one) for one in found])
    for one in found if not as_json else ():
        print(desk.visible(f"{one.target}: {one.kind} {one.role}".rstrip() + f": {one.what}."))
        print(desk.visible(f"    {one.done or one.proposal}"))
        for line in one.command.splitlines() if not one.done else ():
            print(desk.visible(f"        {line}"))
    if not found and not as_json:
        print("Record and reality agree.")
    raise typer.Exit(1 if found else 0)
