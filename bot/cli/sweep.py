"""`jit sweep`: end what is over on a server, with its URL and nothing else.

No record, no catalog, no Slack: fit for cron or a systemd timer on any machine that can reach the
server, so that access ends on time also when the bot is dead. See docs/sweep.md.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import errors
from bot.catalog import duration
from bot.cli import desk

if TYPE_CHECKING:
    from db_grants import sweep as sweeps

ENDED, PENDING, OPERATOR, ALIVE = 0, 1, 2, 3  # exit codes; told in docs/sweep.md
_USUAL = "JIT_SWEEP_URL"


def sweep(
    ctx: typer.Context,
    *,
    target_url: Annotated[
        str | None,
        typer.Option(help="URL of the server, as the bot's role. Other users can see arguments."),
    ] = None,
    target_url_env: Annotated[
        str | None, typer.Option(help=f"The variable that holds the URL; usually {_USUAL}.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    grace: Annotated[str, typer.Option(help="Leave this long to the bot, like 30s.")] = "0s",
    timeout: Annotated[float, typer.Option(help="Seconds for one step on the server.")] = 10.0,
    as_json: desk.AsJson = False,
) -> None:
    """End every role past the deadline it carries, by the server's own clock.

    Exit codes: 0 nothing is left of what was due, 1 access has ended and cleaning is pending (with
    --dry-run: something is due), 2 a mistake, 3 somebody may still have access.
    """
    from db_grants import errors as target_errors
    from db_grants import postgres
    from db_grants import sweep as sweeps

    spare = _grace(grace)
    try:
        engine = postgres.PostgresEngine(
            _url(desk.desk(ctx), target_url, target_url_env), deadline=timeout
        )
    except target_errors.DbGrantsError as unreadable:
        raise errors.OperatorError(str(unreadable)) from None
    try:
        report = sweeps.sweep(engine, dry_run=dry_run, grace=spare)
    except target_errors.NotPrepared as unprepared:
        raise errors.OperatorError(str(unprepared)) from None
    except target_errors.DbGrantsError as unseen:
        _say_unseen(unseen, as_json=as_json)
        raise typer.Exit(ALIVE) from None
    finally:
        engine.dispose()
    desk.answer(_plain(report)) if as_json else _say(report)
    raise typer.Exit(code(report, dry_run=dry_run))


def code(report: "sweeps.Report", *, dry_run: bool) -> int:
    """The exit code: the worst that is known. Something due and only looked at is still alive."""
    from db_grants import sweep as sweeps

    if report.worst is None:
        return ENDED
    codes = {sweeps.Outcome.ENDED: ENDED, sweeps.Outcome.UNCLEAN: PENDING}
    return codes.get(report.worst, PENDING if dry_run else ALIVE)


def _url(opened: desk.Desk, given: str | None, name: str | None) -> str:
    if given and name:
        raise errors.OperatorError("Give --target-url or --target-url-env, not both.")
    url = given or opened.variable(name or _USUAL)
    if not url:
        raise errors.OperatorError(
            f"No target: set {name or _USUAL} to the server's URL, or give --target-url."
        )
    return url


def _grace(text: str) -> timedelta:
    if text.strip().rstrip("smh") == "0":
        return timedelta(0)
    try:
        return duration.parse(text)
    except ValueError as wrong:
        raise errors.OperatorError(f"--grace: {wrong}.") from None


def _say(report: "sweeps.Report") -> None:
    for one in report.swept:
        print(_line(one))
    left = report.found - len(report.swept)
    print(f"{len(report.swept)} due, {left} not yet due{_until(report)}.")


def _until(report: "sweeps.Report") -> str:
    soon = report.next_deadline
    return f" (next {desk.moment(soon)})" if soon else ""


def _line(one: "sweeps.Swept") -> str:
    late = f"{one.late.total_seconds():.0f} s past its deadline" if one.late else "no deadline"
    facts = [late]
    if one.sessions_cut:
        facts.append(f"sessions cut: {one.sessions_cut}")
    facts += [f"kept in quarantine: {what}" for what in one.quarantined]
    facts += [f"taken back: {what}" for what in one.undone]
    facts += [f"left: {what}" for what in one.left]
    facts += [one.why] if one.why else []
    return desk.visible(f"{one.role}: {_VERDICTS[one.outcome]}; {'; '.join(facts)}")


_VERDICTS = {
    "due": "due",
    "ended": "ended, nothing left",
    "unclean": "access ended, cleanup pending",
    "alive": "NOT ENDED, somebody may have access",
}


def _say_unseen(error: Exception, *, as_json: bool) -> None:
    if as_json:
        desk.answer({"unseen": str(error)})
    else:
        print(f"The server could not be looked at, so nothing was ended. {error}")


def _plain(report: "sweeps.Report") -> dict[str, Any]:
    return {
        "at": report.at,
        "found": report.found,
        "next_deadline": report.next_deadline,
        "worst": report.worst,
        "swept": [
            {
                "role": one.role,
                "grant": one.grant_id,
                "expires_at": one.expires_at,
                "late_seconds": one.late.total_seconds() if one.late else None,
                "outcome": one.outcome,
                "sessions_cut": one.sessions_cut,
                "quarantined": one.quarantined,
                "undone": one.undone,
                "left": one.left,
                "why": one.why,
            }
            for one in report.swept
        ],
    }
