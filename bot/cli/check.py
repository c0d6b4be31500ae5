"""`jit check`: the doctor. Looks at settings, catalog, Slack and targets; changes nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Protocol

import typer

from bot import catalog as catalogs
from bot import errors
from bot import settings as settings_
from bot.cli import desk
from bot.cli.catalog import contents
from bot.deciding import context
from db_grants import engine as engines
from db_grants import errors as grant_errors
from db_grants.spec import Finding, Severity

_UNTIL_MENDED = "Until then `jit serve` grants nothing: it ends what is live, or does not start."
_MARKS = {Severity.OK: "ok", Severity.WARNING: "warning", Severity.ERROR: "ERROR"}


class Slack(Protocol):
    """Slack as the doctor sees it."""

    def findings(self, channels: Sequence[str]) -> tuple[Finding, ...]:
        """Whether the tokens are accepted, and whether the bot can speak in these channels."""

    @property
    def directory(self) -> context.Directory:
        """Who people are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What the doctor looks with."""

    slack: Callable[[settings_.Settings], Slack]
    engine: Callable[[catalogs.Target, settings_.Settings], engines.Engine]


def check(
    ctx: typer.Context,
    *,
    offline: Annotated[bool, typer.Option(help="Only files; neither Slack nor targets.")] = False,
    as_json: desk.AsJson = False,
) -> None:
    """Look at everything the bot needs. Exit code 1 when something would stop it."""
    found = tuple(examine(desk.desk(ctx), None if offline else _instruments()))
    healthy = all(finding.severity is not Severity.ERROR for finding in found)
    if as_json:
        desk.answer({"ok": healthy, "findings": [asdict(finding) for finding in found]})
    else:
        _print(found, healthy=healthy)
    raise typer.Exit(0 if healthy else 1)


def examine(opened: desk.Desk, instruments: Instruments | None) -> Iterator[Finding]:
    """Every finding, in the order in which things would be needed."""
    settings = catalog = None
    try:
        settings = opened.settings(slack=True)
        yield _fine("settings", "every key is there and of the right kind")
    except errors.SettingsError as wrong:
        yield from _wrong("settings", wrong, "`.env.example` explains every key.")
        settings = _without_slack(opened)
    if settings is None:
        return
    try:
        catalog = catalogs.load(settings.catalog)
        yield _fine("catalog", contents(catalog))
    except errors.CatalogError as wrong:
        yield from _wrong("catalog", wrong, _UNTIL_MENDED)
    if catalog is not None and catalog.alarms.webhook_env:
        yield from _webhook(catalog.alarms.webhook_env, settings)
    if instruments is None:
        return
    if settings.slack_bot_token and settings.slack_app_token:
        yield from _slack(instruments.slack(settings), catalog)
    if catalog is not None:
        for target in catalog.targets.values():
            yield from _target(target, catalog, settings, instruments)


def _webhook(named: str, settings: settings_.Settings) -> Iterator[Finding]:
    try:
        settings.webhook_url(named)
    except errors.SettingsError as wrong:
        yield from _wrong("alarms", wrong, "Put it into `.env`.")


def _without_slack(opened: desk.Desk) -> settings_.Settings | None:
    """The rest can still be looked at when only the tokens are wrong, or the doctor must stop."""
    try:
        settings = opened.settings(slack=False)
    except errors.SettingsError:
        return None
    return settings_.without_tokens(settings)


def _slack(slack: Slack, catalog: catalogs.Catalog | None) -> Iterator[Finding]:
    channels = sorted({catalog.channels.approvals, catalog.channels.audit}) if catalog else ()
    found = slack.findings(channels)
    yield from found
    if catalog is None or any(f.severity is Severity.ERROR for f in found[:1]):
        return
    ends = context.dead_ends(slack.directory, catalog)
    for end in ends:
        stuck = end.requester is None
        yield Finding(
            severity=Severity.ERROR if stuck else Severity.WARNING,
            subject="approvers",
            message=str(end),
            remedy=_remedy(end) if stuck else "",
        )
    if not ends:
        yield _fine("approvers", "every entitlement has enough people who can approve it")


def _remedy(end: context.DeadEnd) -> str:
    if not end.entitlement:
        return "Spell it as in Slack; invite the bot to a private channel."
    return "Name more approvers in the rule, or make the group larger."


def _target(
    target: catalogs.Target,
    catalog: catalogs.Catalog,
    settings: settings_.Settings,
    instruments: Instruments,
) -> Iterator[Finding]:
    subject = f"target {target.name}"
    try:
        placed = catalogs.placed(catalog, settings.target_database, only=target.name)
        engine = instruments.engine(target, settings)
    except errors.SettingsError as wrong:
        yield from _wrong(
            subject, wrong, "Put it into `.env`; until then nothing there can be had."
        )
        return
    try:
        found = engine.check([catalogs.scope_of(item) for item in placed.on(target.name)])
    except grant_errors.DbGrantsError as wrong:
        yield from _wrong(subject, wrong, f"Is {target.url_env} right, and the server up?")
        return
    finally:
        engine.dispose()
    for finding in found:
        about = f"{subject}: {finding.subject}" if finding.subject else subject
        yield Finding(
            severity=finding.severity,
            subject=about,
            message=finding.message,
            remedy=finding.remedy,
        )


def _instruments() -> Instruments:
    from bot.slack import doctor
    from db_grants import postgres

    def engine(target: catalogs.Target, settings: settings_.Settings) -> engines.Engine:
        url = settings.target_url(target.url_env).reveal()
        return postgres.PostgresEngine(
            url, public_host=target.public_host, public_port=target.public_port
        )

    return Instruments(slack=doctor.Doctor, engine=engine)


def _fine(subject: str, message: str) -> Finding:
    return Finding(severity=Severity.OK, subject=subject, message=message)


def _wrong(subject: str, error: Exception, remedy: str) -> Iterator[Finding]:
    for line in str(error).splitlines():
        yield Finding(severity=Severity.ERROR, subject=subject, message=line, remedy=remedy)


def _print(found: Sequence[Finding], *, healthy: bool) -> None:
    width = max((len(f.subject) for f in found), default=0)
    for finding in found:
        mark = _MARKS[finding.severity]
        print(f"{finding.subject:<{width}}  {mark:<7}  {desk.visible(finding.message)}")
        if finding.remedy and finding.severity is not Severity.OK:
            print(f"{'':<{width}}  {'':<7}  → {finding.remedy}")
    wrong = sum(f.severity is Severity.ERROR for f in found)
    doubts = sum(f.severity is Severity.WARNING for f in found)
    print()
    if healthy:
        print("Ready to serve." + (f" Warnings: {doubts}." if doubts else ""))
    else:
        print(
            f"Not ready: {wrong} to put right" + (f", {doubts} to think about." if doubts else ".")
        )
