"""The composition root: settings in, a wired bot out. The only module that names every real part."""

import functools
from collections.abc import Mapping

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import context, errors, model, outbox, places, service, settings, slack, store, webhook
from bot.slack import client as slack_client
from bot.slack import identity
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import naming, spec
from db_grants.postgres import engine as postgres

_log = structlog.get_logger(__name__)

_INTERACTIVE_STOP = 1.0  # seconds that Slack's side may take of the time to stop


class App:
    """A bot: start it, stop it, and close what it holds."""

    def __init__(
        self,
        *,
        chosen: settings.Settings,
        catalog: catalogs.Catalog,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        strays: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
    ) -> None:
        self._strays = strays
        self._chosen = chosen
        self._catalog = catalog
        self._store = store
        self._engines = engines
        self._clock = clock
        self._client = slack_client.web_client(
            chosen.slack_bot_token.reveal(), chosen.slack_api_url
        )
        self._directory = identity.Directory(self._client)
        self.slack: slack.Slack
        self.service = service.Service(
            store=store,
            engines=engines,
            catalog=self._current_catalog,
            directory=self._directory,
            poster=self._connect,
            clock=clock,
            strays=strays,
        )

    def start(self) -> None:
        """Take up what the record says, then listen. Raises SettingsError when Slack refuses us.

        Neither Slack nor a target has to answer: what must end is ended all the same, and first.
        """
        self.service.start()
        try:
            self.slack.start()
        except errors.SettingsError:
            self.stop()
            raise
        self.service.lanes.interactive.submit(self._report)
        _log.info(
            "ready",
            targets=len(self._engines),
            entitlements=len(self._catalog.entitlements),
            store=self._store.place,
        )

    def stop(self, timeout: float = 8.0) -> bool:
        """Hear nothing more, finish what is in hand within `timeout` seconds, let go of everything."""
        self.slack.stop()
        finished = self.service.stop(max(0.0, timeout - _INTERACTIVE_STOP))
        for engine in places.disposable([*self._engines.values(), *self._strays.values()]):
            engine.dispose()
        self._store.close()
        return finished

    def _current_catalog(self) -> catalogs.Catalog:
        return self._catalog

    def _connect(self, core: service.Service) -> outbox.Poster:
        self.slack = slack.create(
            client=self._client,
            app_token=self._chosen.slack_app_token.reveal(),
            access=core.access,
            grants=core.grants,
            store=self._store,
            directory=self._directory,
            lanes=core.lanes,
            catalog=self._current_catalog,
            clock=self._clock,
            describe=self._describe,
        )
        named = self._catalog.alarms.webhook_env
        url = self._chosen.webhook_url(named).reveal() if named else None
        posting = webhook.Webhook(url=url, store=self._store, clock=self._clock)
        return webhook.Branch(slack=self.slack.poster, webhook=posting)

    def _describe(self, story: model.Story) -> tuple[str, ...]:
        """What granting this would do in its target, line by line."""
        engine = self._engines.get(story.request.target)
        if engine is None:
            return ()
        ends = self._clock.now() + story.request.duration
        wanted = spec.GrantSpec(
            grant_id=story.request.id,
            role_name=naming.managed_role(story.request.id),
            scope=catalogs.scope_from_json(story.request.scope),
            expires_at=story.grant.expires_at if story.grant else ends,
        )
        return engine.describe(wanted)

    def _report(self) -> None:
        """Say in the log what will not work, before anybody asks for it."""
        for dead_end in context.dead_ends(self._directory, self._catalog):
            _log.warning("dead_end", entitlement=dead_end.entitlement, why=dead_end.sentence)
        for name, engine in self._engines.items():
            self._report_target(name, engine)

    def _report_target(self, name: str, engine: engines_.Engine) -> None:
        scopes = [catalogs.scope_of(each) for each in self._catalog.on(name)]
        try:
            findings = engine.check(scopes)
        except target_errors.DbGrantsError as error:
            _log.warning("target_unreachable", target=name, why=str(error))
            return
        for finding in findings:
            if finding.severity is not spec.Severity.OK:
                _log.warning(
                    "target_finding",
                    target=name,
                    severity=finding.severity.value,
                    subject=finding.subject,
                    why=finding.message,
                    remedy=finding.remedy,
                )


def build(chosen: settings.Settings, *, clock: clocks.Clock | None = None) -> App:
    """Wire a bot from its settings. Raises OperatorError with one sentence; connects to no target."""
    telling = clock or clocks.SystemClock()
    catalog = catalogs.placed(catalogs.load(chosen.catalog), chosen.target_database)
    engines = _engines(chosen, catalog, telling)
    kept = store.open_store(chosen.database_url.reveal(), telling, chosen.audit_key)
    try:
        connect = functools.partial(_engine, chosen, telling)
        strays = places.strays(kept, catalog.targets, connect)
        return App(
            chosen=chosen,
            catalog=catalog,
            store=kept,
            engines=engines,
            strays=strays,
            clock=telling,
        )
    except BaseException:
        kept.close()
        raise


def _engines(
    chosen: settings.Settings, catalog: catalogs.Catalog, clock: clocks.Clock
) -> dict[str, engines_.Engine]:
    """One engine a target; every missing URL is told at once."""
    made, missing = {}, []
    for target in catalog.targets.values():
        place = places.Place(target=target.name, **places.noted(target))  # type: ignore[arg-type]
        try:
            made[target.name] = _engine(chosen, clock, place)
        except errors.SettingsError as error:
            missing.append(str(error))
    if missing:
        raise errors.SettingsError("\n".join(missing))
    return made


def _engine(chosen: settings.Settings, clock: clocks.Clock, place: places.Place) -> engines_.Engine:
    """Connects to nothing yet. Raises SettingsError."""
    return postgres.PostgresEngine(
        chosen.target_url(place.url_env).reveal(),
        clock=clock.now,
        public_host=place.public_host,
        public_port=place.public_port,
    )
