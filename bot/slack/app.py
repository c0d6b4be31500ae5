"""Puts the Slack side together: client, listeners, poster, socket."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import slack_bolt
import slack_bolt.authorization
import slack_bolt.logger.messages
import slack_sdk

from bot import catalog as catalogs
from bot import clock as clocks
from bot import store, work
from bot.asking import access, grants
from bot.slack import answers, copies, counter, desk, identity, listeners, poster, scene, socket
from bot.slack import client as clients

DOORS = 32  # workers that open windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The running Slack side. `start` connects, `stop` disconnects."""

    client: slack_sdk.WebClient
    bolt: slack_bolt.App
    poster: poster.Poster
    directory: identity.Directory
    gateway: socket.Gateway
    doors: work.Pool

    def start(self) -> None:
        """Connect. Raises SettingsError when Slack refuses a token.

        When Slack does not answer, goes on trying in the background.
        """
        with contextlib.suppress(clients.Unreachable):
            clients.identify(self.client)
        self.gateway.start()

    def stop(self) -> None:
        """Disconnect: nothing more comes in. Words still to be said stay in the outbox."""
        self.gateway.stop()
        self.doors.lane.close()


def create(
    *,
    client: slack_sdk.WebClient,
    app_token: str,
    access: access.Access,
    grants: grants.Grants,
    store: store.Store,
    directory: identity.Directory,
    lanes: work.Lanes,
    catalog: Callable[[], catalogs.Catalog],
    clock: clocks.Clock,
    describe: desk.Describe | None = None,
) -> Slack:
    """Wire it. Talks to nobody yet. `describe`: what the target would do for a story, line by line."""
    told = answers.Answers(client)
    seen = scene.Scene(
        store=store, access=access, directory=directory, catalog=catalog, clock=clock
    )
    doing = desk.Desk(
        access=access,
        grants=grants,
        store=store,
        directory=directory,
        catalog=catalog,
        scene=seen,
        answers=told,
        describe=describe,
    )
    doors = work.Pool("doors", workers=DOORS)
    taking = counter.Counter(doors=doors, interactive=lanes.interactive, answers=told)
    bolt = bolt_app(client)
    alike = copies.Copies(client=client, store=store, directory=directory)
    heard = listeners.Listeners(
        counter=taking, desk=doing, copies=alike, client=client, catalog=catalog
    )
    heard.register(bolt)
    speaking = poster.Poster(
        client=client,
        store=store,
        directory=directory,
        catalog=catalog,
        clock=clock,
        scene=seen,
        home=doing.home,
    )
    gateway = socket.Gateway(bolt, app_token)
    return Slack(
        client=client,
        bolt=bolt,
        poster=speaking,
        directory=directory,
        gateway=gateway,
        doors=doors,
    )


def bolt_app(client: slack_sdk.WebClient) -> slack_bolt.App:
    """Bolt as a router: it asks Slack nothing, and a listener runs where its envelope was read.

    So an acknowledgement waits for no thread and no network. Who we are is in the client's token;
    Bolt's own look at it (auth.test before the first acknowledgement) is answered here.
    """
    bare = slack_sdk.WebClient(base_url=client.base_url, timeout=client.timeout, retry_handlers=[])
    bare.proxy = client.proxy
    token = client.token

    def authorize(
        enterprise_id: str | None, team_id: str | None
    ) -> slack_bolt.authorization.AuthorizeResult:
        return slack_bolt.authorization.AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_token=token
        )

    logger = logging.getLogger("slack_bolt")
    logger.addFilter(_worth_logging)
    bolt = slack_bolt.App(
        name="jit",
        client=bare,
        authorize=authorize,
        signing_secret="",
        request_verification_enabled=False,  # there is no HTTP door: the socket is the only way in
        process_before_response=True,
        listener_executor=socket.executor(),
        logger=logger,
    )
    bolt.error(_unexpected)
    return bolt


_TOKEN_SKIPPED = slack_bolt.logger.messages.warning_client_prioritized_and_token_skipped()


def _worth_logging(record: logging.LogRecord) -> bool:
    """Bolt reads SLACK_BOT_TOKEN by itself and then warns that it goes by our client: it should."""
    return record.getMessage() != _TOKEN_SKIPPED


def _unexpected(
    error: Exception, ack: Callable[..., slack_bolt.BoltResponse]
) -> slack_bolt.BoltResponse:
    """A bug in a listener itself: the person is answered, the log has the rest."""
    return ack(text=answers.words_for(error, "listener"))
