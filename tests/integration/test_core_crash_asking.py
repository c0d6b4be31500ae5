"""`jit serve` killed by SIGKILL while somebody asks, decides, or is about to see what they got.

Everything goes the way people go: a window, a press, the credentials opened and used to log in.
"""

import contextlib
import pathlib
import re
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from bot import model
from bot.demo.workspace import acts, server, things
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import PATIENCE, Served
from tests.scenario.conftest import ACCESS, ANA, BO, GENERAL, text_of

SHOWN = re.compile(r"postgresql://(jit_\w+):([^@\s]+)@")
AN_ATTEMPT = timedelta(seconds=10)  # its deadline is committed before it is made


class Office(Served):
    """The people around that process."""

    def window(self, user: str, words: str) -> things.View:
        """Wait until this person's window says so."""

        def found() -> things.View | None:
            view = self.workspace.view_of(user)
            return view if view and words in text_of(view) else None

        made: things.View = self.workspace.wait_for(found, timeout=PATIENCE)
        return made

    def card(self) -> things.Message:
        """Wait for the card of the one request."""
        made: things.Message = self.workspace.wait_for(
            lambda: self.workspace.messages(ACCESS)[-1:], timeout=PATIENCE
        )[0]
        return made

    def asks_for_an_hour(self) -> things.Message:
        """More than the rule grants by itself; the card that asks for a decision."""
        self.workspace.slash(ANA, GENERAL, "/jit read_orders 1h export stuck")
        wait_for(lambda: "Approve 1 h" in text_of(self.card()), PATIENCE)
        return self.card()

    def presses_open(self) -> None:
        """Ana wants to see her credentials."""
        direct = self.workspace.dm(ANA)
        live = self.workspace.wait_for(
            lambda: [m for m in self.workspace.messages(direct) if "is yours until" in text_of(m)],
            timeout=PATIENCE,
        )[0]
        self.workspace.click(ANA, live, "Open credentials")

    def opens(self) -> tuple[str, str]:
        """What Ana sees: role and password."""
        self.presses_open()
        shown = SHOWN.search(str(self.window(ANA, "postgresql://").body))
        assert shown is not None
        return shown[1], shown[2]

    def as_holder(self, role: str, password: str) -> psycopg.Connection:
        """Log in with what was shown."""
        url = self.shop.server.url(self.shop.database, role, password)
        return psycopg.connect(url, autocommit=True)

    def request(self) -> model.AccessRequest:
        """The only one there is."""
        (only,) = self.store.requests()
        return only


@pytest.fixture
def office(tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server) -> Iterator[Office]:
    made = Office(tmp_path, shop, workspace_server)
    yield made
    made.close()


@pytest.mark.fault(
    "F-01",
    "SIGKILL before a request is committed",
    how="checkpoint kills a real process",
    expects="nothing exists; sending the same window again makes one request",
)
def test_killed_before_a_request_is_committed_nothing_exists_and_asking_again_makes_one(
    office: Office,
) -> None:
    office.start("request-uncommitted")
    office.workspace.slash(ANA, GENERAL, "/jit read_orders 1h")
    office.window(ANA, "Needs 1 of")
    with pytest.raises(acts.TimedOut):
        office.workspace.submit(ANA, values={"Why": "export stuck"})
    office.died()
    assert office.store.requests() == ()
    assert office.workspace.messages(ACCESS) == ()
    office.start()
    assert office.workspace.submit(ANA) is None  # the window is still there, with what was typed
    assert "Approve 1 h" in text_of(office.card())
    assert office.request().justification == "export stuck"
    wait_for(lambda: office.store.outbox_depth() == 0, PATIENCE)
    assert len(office.workspace.messages(ACCESS)) == 1


@pytest.mark.fault(
    "F-05",
    "SIGKILL after a press is acknowledged, before the decision is committed",
    how="checkpoint kills a real process",
    expects="still pending and undecided; pressing again decides, once",
)
@pytest.mark.parametrize("press", ["Approve 1 h", "Deny…"])
def test_killed_before_a_decision_is_committed_it_is_pending_and_pressing_again_works(
    office: Office, press: str
) -> None:
    office.start("decision-uncommitted")
    card = office.asks_for_an_hour()
    decide(office, card, press)
    office.died()
    assert office.request().status is model.RequestStatus.PENDING
    assert office.store.story(office.request().id).reviews == ()
    assert office.grant() is None
    office.start()
    decide(office, card, press)
    if press == "Deny…":
        wait_for(lambda: office.request().status is model.RequestStatus.DENIED, PATIENCE)
        assert office.grant() is None
    else:
        grant = office.reaches(model.GrantStatus.ACTIVE)
        assert office.roles() == [grant.role_name]
    assert len(office.store.story(office.request().id).reviews) == 1


def decide(office: Office, card: things.Message, press: str) -> None:
    """Bo presses; a denial has a window with a reason."""
    assert office.workspace.click(BO, card, press).ms is not None
    if press == "Deny…":
        office.window(BO, "Reason")
        with contextlib.suppress(acts.TimedOut):  # its outcome comes with its acknowledgement
            office.workspace.submit(BO, values={"Reason": "not now"})


@pytest.mark.fault(
    "F-04",
    "SIGKILL after a decision is committed, before anything is made",
    how="checkpoint kills a real process",
    expects="after the restart it is granted once, said once",
)
def test_killed_after_a_decision_it_is_granted_once(office: Office) -> None:
    office.start("decision-recorded")
    office.workspace.click(BO, office.asks_for_an_hour(), "Approve 1 h")
    office.died()
    grant = office.grant()
    assert grant is not None
    assert grant.status is model.GrantStatus.ACTIVATING
    assert office.roles() == []
    office.start()
    grant = office.reaches(model.GrantStatus.ACTIVE)
    assert office.roles() == [grant.role_name]
    assert len(office.store.story(grant.id).reviews) == 1
    wait_for(lambda: office.store.outbox_depth() == 0, PATIENCE)
    assert office.said(f"Live as {grant.role_name}") == 1
    events = [event.type for event in office.store.events_of(grant.id)]
    assert events.count("grant.active") == 1


@pytest.mark.fault(
    "F-11",
    "SIGKILL after a grant is active, before its credentials are seen",
    how="checkpoint kills a real process",
    expects="they open with a password that works; the deadline counts from activation",
)
@pytest.mark.parametrize("name", ["grant-active", "reveal-recorded", "revealed"])
def test_killed_before_credentials_are_seen_they_open_after_it(office: Office, name: str) -> None:
    office.start(name)
    office.workspace.slash(ANA, GENERAL, "/jit read_orders 30m export stuck")
    if name != "grant-active":
        office.presses_open()
    office.died()
    before = office.reaches(model.GrantStatus.ACTIVE)
    office.start()
    role, password = office.opens()
    with contextlib.closing(office.as_holder(role, password)) as holder:
        assert holder.execute("SELECT count(*) FROM app.orders").fetchone() is not None
    grant = office.reaches(model.GrantStatus.ACTIVE)
    assert (grant.role_name, grant.expires_at) == (role, before.expires_at)
    assert grant.activated_at is not None
    assert grant.activated_at == before.activated_at
    lasts = grant.expires_at - grant.activated_at
    assert grant.duration - AN_ATTEMPT < lasts <= grant.duration
