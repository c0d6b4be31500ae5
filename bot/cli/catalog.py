"""`jit catalog`: look at the catalog without Slack, database or record."""

import difflib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import catalog as catalogs
from bot import errors
from bot.catalog import duration, schema, table
from bot.cli import desk
from db_grants.spec import TableScope

app = typer.Typer(no_args_is_help=True, help="Look at the catalog.")
Where = Annotated[Path | None, typer.Option("--catalog", help="Instead of JIT_CATALOG.")]


@app.command()
def lint(
    ctx: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="Instead of JIT_CATALOG.")
    ] = None,
    *,
    as_json: desk.AsJson = False,
) -> None:
    """Check the file; every error with its line. Exit code 2 when there are any."""
    try:
        catalog = desk.desk(ctx).catalog(path)
    except errors.CatalogError as wrong:
        if not as_json:
            raise
        desk.answer({"ok": False, "errors": str(wrong).splitlines()})
        raise typer.Exit(wrong.code) from None
    if as_json:
        desk.answer({"ok": True, "errors": [], "version": catalog.version})
    else:
        print(f"The catalog is in order: {contents(catalog)}.")


@app.command()
def explain(
    ctx: typer.Context,
    entitlement: Annotated[str, typer.Argument(metavar="ENTITLEMENT")],
    *,
    path: Where = None,
    as_json: desk.AsJson = False,
) -> None:
    """Say what an entitlement gives, who may ask, and who decides."""
    catalog = desk.desk(ctx).catalog(path)
    found = catalog.entitlements.get(entitlement)
    if found is None:
        raise errors.NotFound(
            f"There is no entitlement {entitlement}; {_known(entitlement, catalog)}"
        )
    if as_json:
        desk.answer(as_data(catalog, found))
        return
    for name, said in _explained(catalog, found):
        print(f"{name:<10} {said}")


def _known(name: str, catalog: catalogs.Catalog) -> str:
    """What was probably meant, or else what there is."""
    near = difflib.get_close_matches(name, catalog.entitlements, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"the catalog has {', '.join(catalog.entitlements)}."


@app.command("who-can")
def who_can(
    ctx: typer.Context,
    table_name: Annotated[str, typer.Argument(metavar="TABLE", help="schema.table")],
    *,
    path: Where = None,
    as_json: desk.AsJson = False,
) -> None:
    """Say which entitlements reach a table, who may ask for them and who decides."""
    catalog = desk.desk(ctx).catalog(path)
    try:
        wanted = table.parse(table_name)
    except ValueError as wrong:
        raise errors.OperatorError(f"{wrong}.") from None
    rows = [
        (item, part)
        for item in catalog.entitlements.values()
        for part in item.tables
        if (part.schema, part.table) == wanted
    ]
    if as_json:
        desk.answer([{**as_data(catalog, item), "scope": [_part(part)]} for item, part in rows])
        return
    if not rows:
        print(f"Nothing in the catalog reaches {table_name}.")
        return
    desk.table(
        ("ENTITLEMENT", "TARGET", "GIVES", "ASKED BY", "DECIDED BY"),
        [
            (item.name, item.target, gives(part), ", ".join(item.requesters), _whole(catalog, item))
            for item, part in rows
        ],
    )


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    print(schema_text(), end="")


def schema_text() -> str:
    """The JSON Schema as it is committed."""
    found = schema.CatalogShape.model_json_schema()
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
    return json.dumps(found | {"title": "Catalog of jit"}, indent=2) + "\n"


def contents(catalog: catalogs.Catalog) -> str:
    """How much is in it: "1 target, 4 entitlements, 3 rules"."""
    counts = {
        "target": len(catalog.targets),
        "entitlement": len(catalog.entitlements),
        "rule": len(catalog.rules),
    }
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items())


def as_data(catalog: catalogs.Catalog, item: catalogs.Entitlement) -> dict[str, Any]:
    """An entitlement and its rule for programs; durations in seconds."""
    rule = catalog.rule_of(item)
    alone = rule.auto_approve_up_to
    return {
        "entitlement": item.name,
        "target": item.target,
        "environment": item.environment,
        "description": item.description,
        "sensitivity": item.sensitivity,
        "scope": [_part(part) for part in item.tables],
        "requesters": list(item.requesters),
        "rule": rule.name,
        "approvers": list(rule.approvers),
        "needs": rule.needs,
        "auto_approve_up_to": alone.total_seconds() if alone else None,
        "decide_within": rule.decide_within.total_seconds(),
        "default_duration": item.default_duration.total_seconds(),
        "max_duration": item.max_duration.total_seconds(),
        "ticket": item.ticket,
    }


def gives(part: TableScope) -> str:
    """The privileges on one table: "select on id, name"."""
    words = ", ".join(sorted(p.value for p in part.privileges))
    return f"{words} of {', '.join(part.columns)}" if part.columns else words


def _part(part: TableScope) -> dict[str, Any]:
    return {
        "schema": part.schema,
        "table": part.table,
        "columns": list(part.columns),
        "privileges": sorted(p.value for p in part.privileges),
    }


def _explained(catalog: catalogs.Catalog, item: catalogs.Entitlement) -> list[tuple[str, str]]:
    rule = catalog.rule_of(item)
    lines = [("what", item.name), ("", item.description), ("sensitive", item.sensitivity)]
    lines += [("where", f"{item.target} ({item.environment})")]
    lines += [("gives", f"{part.label}: {gives(part)}") for part in item.tables]
    lines += [("asked by", ", ".join(item.requesters))]
    longest = duration.words(item.max_duration)
    lines += [
        (
            "for",
            f"{duration.words(item.default_duration)} unless asked otherwise, at most {longest}",
        )
    ]
    if item.ticket:
        lines += [("ticket", f"the reason begins with {item.ticket}")]
    if rule.auto_approve_up_to:
        lines += [
            ("alone", f"approved automatically up to {duration.words(rule.auto_approve_up_to)}")
        ]
    lines += [("decided by", _rule(catalog, item))]
    lines += [("lapses", f"after {duration.words(rule.decide_within)} without a decision")]
    return [(name, said) for name, said in lines if said]


def _rule(catalog: catalogs.Catalog, item: catalogs.Entitlement) -> str:
    rule = catalog.rule_of(item)
    if not rule.approvers:
        return f"nobody (rule {rule.name})"
    return f"{rule.needs} of {', '.join(rule.approvers)} (rule {rule.name})"


def _whole(catalog: catalogs.Catalog, item: catalogs.Entitlement) -> str:
    """Who decides, in one line: also up to when nobody does."""
    alone = catalog.rule_of(item).auto_approve_up_to
    first = f"automatic up to {duration.words(alone)}, then " if alone else ""
    return first + _rule(catalog, item)
