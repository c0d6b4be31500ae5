"""The composition root: settings in, a wired bot out. The only module that names every real part."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, service, settings, slack, store
from bot.deciding import context
from bot.ending import fallback
from bot.granting import places, skew
from bot.slack import client as slack_client
from bot.slack import identity
from bot.telling import outbox
from bot.watching import impaired, webhook
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
        """Take up what the record says, then listen. Raises SettingsError when Slack refuses us, unless
        something is live: that ends on time, with nobody to tell.

        Neither Slack nor a target has to answer: what must end is ended all the same, and first.
        """
        self._note_impaired()
        self.service.start()
        try:
            self.slack.start()
        except errors.SettingsError as refused:
            if not _anything_live(self._store):
                self.stop()
                raise
            _log.error("slack_refused", why=str(refused))
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
        self._note(impaired.Impaired(since=self._clock.now().isoformat()))
        for engine in places.disposable([*self._engines.values(), *self._strays.values()]):
            engine.dispose()
        self._store.close()
        return finished

    def _note_impaired(self) -> None:
        """Let alarms and `jit status` know what this set-up lacks."""
        stray = places.unreachable(self._strays)
        lacks = impaired.Impaired(
            since=self._clock.now().isoformat(),
            catalog=self._catalog.unusable,
            targets=self._catalog.lost,
            grants={places.grant_of(key): why for key, why in stray.items()},
        )
        if lacks.catalog:
            _log.error("ends_only", why=lacks.catalog)
        self._note(lacks)

    def _note(self, lacks: impaired.Impaired) -> None:
        try:
            impaired.note(self._store, self.service.grants.claims.name, lacks)
        except (errors.Busy, errors.StoreError) as error:  # it must not keep us from ending
            _log.warning("impaired_unnoted", why=str(error))

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
        hook = self._webhook()
        core.outcry.by(self.slack.poster.cry, hook.cry)
        return webhook.Branch(slack=self.slack.poster, webhook=hook)

    def _webhook(self) -> webhook.Webhook:
        """Raises SettingsError, unless something is live that would then not be ended."""
        named, url, lacks = self._catalog.alarms.webhook_env, None, ""
        try:
            url = self._chosen.webhook_url(named).reveal() if named else None
        except errors.SettingsError as missing:
            if not _anything_live(self._store):
                raise
            lacks = str(missing)
            _log.error("webhook_lost", why=lacks)
        return webhook.Webhook(url=url, store=self._store, clock=self._clock, lacks=lacks)

    def _describe(self, story: model.Story) -> tuple[str, ...]:
        """What granting this would do in its target, line by line."""
        engine = places.reachable(self._engines).get(story.request.target)
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
        if self._catalog.unusable:
            return
        for dead_end in context.dead_ends(self._directory, self._catalog):
            if dead_end.entitlement:  # a reference without an answer has been logged when asked for
                _log.warning("dead_end", entitlement=dead_end.entitlement, why=dead_end.sentence)
        for name, engine in places.reachable(self._engines).items():
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
    """Wire a bot from its settings. Raises OperatorError with one sentence; connects to no target.

    A set-up that is broken is refused while nothing is live. What is live must end whatever has
    become of the set-up: then the bot serves what it can, and says what it cannot.
    """
    telling = clock or clocks.SystemClock()
    kept = store.open_store(chosen.database_url.reveal(), telling, chosen.audit_key)
    try:
        skew.take_over(kept, telling)
        return _wired(chosen, kept, telling)
    except BaseException:
        kept.close()
        raise


def examine(chosen: settings.Settings) -> None:
    """Raise OperatorError unless the catalog is good and everything it names is set."""
    catalog = catalogs.load(chosen.catalog)
    wrong = [*_missing(chosen, catalog)]
    try:
        if catalog.alarms.webhook_env:
            chosen.webhook_url(catalog.alarms.webhook_env)
    except errors.SettingsError as missing:
        wrong.append(str(missing))
    if wrong:
        raise errors.SettingsError("\n".join(dict.fromkeys(wrong)))


def _wired(chosen: settings.Settings, kept: store.Store, clock: clocks.Clock) -> App:
    catalog = _catalog(chosen, kept)
    connect = functools.partial(_engine, chosen, clock, catalog.unusable)
    engines = {t.name: places.connected(_place(t), connect) for t in catalog.targets.values()}
    if catalog.targets and not places.reachable(engines) and not _anything_live(kept):
        raise errors.SettingsError("\n".join(dict.fromkeys(_missing(chosen, catalog))))
    return App(
        chosen=chosen,
        catalog=dataclasses.replace(catalog, lost=places.unreachable(engines)),
        store=kept,
        engines=engines,
        strays=places.strays(kept, catalog.targets, connect),
        clock=clock,
    )


def _catalog(chosen: settings.Settings, kept: store.Store) -> catalogs.Catalog:
    """The catalog to serve by; while it cannot be used and something is live, one for ends alone."""
    try:
        read = catalogs.load(chosen.catalog)
    except errors.CatalogError as wrong:
        if not _anything_live(kept):
            raise
        read = fallback.ends_only(kept, wrong)
    else:
        fallback.remember(kept, chosen.catalog, read)
    return catalogs.placed(read, functools.partial(_database, chosen))


def _database(chosen: settings.Settings, url_env: str) -> str:
    """The database that a target's URL names; "" where there is none, and nothing is granted."""
    try:
        return chosen.target_database(url_env)
    except errors.SettingsError:
        return ""


def _anything_live(kept: store.Store) -> bool:
    return bool(kept.grants(status=model.LIVE_GRANT, limit=1))


def _missing(chosen: settings.Settings, catalog: catalogs.Catalog) -> Iterator[str]:
    for target in catalog.targets.values():
        try:
            chosen.target_url(target.url_env)
        except errors.SettingsError as error:
            yield str(error)


def _place(target: catalogs.Target) -> places.Place:
    return places.Place(target=target.name, **places.noted(target))  # type: ignore[arg-type]


def _engine(
    chosen: settings.Settings, clock: clocks.Clock, unusable: str, place: places.Place
) -> engines_.Engine:
    """Connects to nothing yet; with `unusable`, one that makes nothing. Raises SettingsError."""
    engine = postgres.PostgresEngine(
        chosen.target_url(place.url_env).reveal(),
        clock=clock.now,
        public_host=place.public_host,
        public_port=place.public_port,
    )
    return places.ends_only(engine, unusable) if unusable else engine
