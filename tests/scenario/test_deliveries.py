"""Deliveries: fast, twice, at once, in the wrong moment. One effect each, and always an answer."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot import errors, model
from bot.demo.workspace import acts
from tests.scenario.conftest import ACCESS, ANA, BO, CLEO, Acme, text_of


@pytest.mark.fault("F-43d", "a double click in Slack", how="two envelopes", expects="one effect")
def test_a_double_click_has_one_effect(acme: Acme) -> None:
    card = acme.asked()
    acme.workspace.click(BO, card, "Approve 30 min")
    with contextlib.suppress(acts.NotThere):  # it may be gone by now
        acme.workspace.click(BO, card, "Approve 30 min")
    acme.wait_card("Active until")
    assert len(acme.store.grants()) == 1


def test_two_approvers_in_the_same_instant_make_one_grant_and_the_loser_is_told_who(
    acme: Acme,
) -> None:
    card = acme.asked()
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda who: acme.workspace.click(who, card, "Approve 30 min"), (BO, CLEO)))
    acme.wait_card("Active until")
    winner = acme.store.requests()[0].decided_by
    loser, name = (CLEO, "Bo") if winner == BO else (BO, "Cleo")
    acme.whispered(loser, f"{name} approved this ", channel=ACCESS)
    assert len(acme.store.grants()) == 1


def test_an_approve_racing_a_deny_has_one_outcome(acme: Acme) -> None:
    card = acme.asked()
    acme.workspace.click(CLEO, card, "Deny…")
    acme.window(CLEO, "Reason")
    with ThreadPoolExecutor(2) as both:
        approve = both.submit(acme.workspace.click, BO, card, "Approve 30 min")
        deny = both.submit(acme.workspace.submit, CLEO, None, {"Reason": "use staging"})
        approve.result()
        deny.result()
    acme.workspace.wait_for(
        lambda: acme.store.requests()[0].status is not model.RequestStatus.PENDING
    )
    reviews = acme.store.story(acme.store.requests()[0].id).reviews
    assert len(reviews) == 1


@pytest.mark.fault(
    "F-43e",
    "Slack delivers an envelope twice",
    how="the same envelope again",
    expects="one request",
)
def test_the_same_envelope_twice_is_one_request(acme: Acme) -> None:
    acme.workspace.trouble.duplicate(1)
    acme.asked()
    acme.told(ANA, "Asked")
    assert len(acme.store.requests()) == 1


@pytest.mark.fault("F-43f", "a window is sent twice", how="two submissions", expects="one request")
def test_the_same_window_sent_twice_is_one_request(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs")
    acme.window(ANA, "Approved automatically up to 30 min")
    acme.workspace.trouble.duplicate(1)
    acme.workspace.submit(ANA, values={"Why": "trace a crash"})
    acme.wait_card("Active until")
    assert len(acme.store.requests()) == 1


@pytest.mark.fault(
    "F-06", "the first click after a restart is on an old card", how="restart", expects="it works"
)
def test_a_card_posted_before_a_restart_still_works(acme: Acme) -> None:
    card = acme.asked()
    acme.told(ANA, "Asked")
    acme.restart()
    acme.workspace.click(BO, card, "Approve 30 min")
    acme.wait_card("Active until")
    acme.restart()
    acme.workspace.click(BO, acme.card(), "Revoke")
    acme.window(BO, "Access ends now")
    assert acme.workspace.submit(BO, values={"Comment": "that is enough"}) is None
    acme.wait_card("revoked by Bo")


@pytest.mark.fault(
    "F-20d",
    "a deadline passes while the bot is away",
    how="stop, start",
    expects="access ends at the start",
)
def test_a_deadline_passed_while_away_is_kept_at_the_next_start(acme: Acme) -> None:
    request_id = acme.live()
    acme.disconnect()
    acme.clock.raise_to(acme.clock.now() + timedelta(minutes=31))
    acme.connect()
    assert acme.store.grant(request_id).status is not model.GrantStatus.ACTIVATING
    acme.wait_card("verified gone")


@pytest.mark.timeout(60)
def test_200_commands_at_once_are_acknowledged_within_a_second_whatever_the_record_does(
    acme: Acme,
) -> None:
    real, gate = acme.store.grants, threading.Event()

    def stuck(**wanted: object) -> object:
        gate.wait(20)
        return real(**wanted)  # type: ignore[arg-type]

    acme.store.grants = stuck  # type: ignore[assignment, method-assign]
    acme.workspace.slash(ANA, ACCESS, "/jit mine")  # and the workers get stuck from here on
    texts = ["/jit", "/jit mine", "/jit read_customer_data 30m INC-1 all at once", "/jit help"]

    def command(number: int) -> float:
        started = time.monotonic()
        acme.workspace.slash(ANA, ACCESS, texts[number % 4])
        return time.monotonic() - started

    with ThreadPoolExecutor(200) as crowd:
        taken = sorted(crowd.map(command, range(200)))
    gate.set()
    assert taken[-1] < 1.0, f"slowest {taken[-1]:.2f} s, median {taken[100]:.2f} s"
    helped = lambda: [  # noqa: E731
        m for m in acme.workspace.messages(ACCESS, as_user=ANA) if "opens the form" in text_of(m)
    ]
    acme.workspace.wait_for(lambda: len(helped()) == 50, 20)


@pytest.mark.fault("F-44", "Slack asks for a new socket", how="refresh", expects="nothing is lost")
def test_a_refreshed_socket_never_goes_deaf(acme: Acme) -> None:
    acme.slash(ANA, "/jit help")
    acme.workspace.trouble.refresh_sockets()
    slowest = 0.0
    for _ in range(40):
        started = time.monotonic()
        acme.slash(ANA, "/jit help")
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 0.5


@pytest.mark.fault(
    "F-44b",
    "sockets break without a word",
    how="the connection is closed",
    expects="replaced at once",
)
def test_sockets_that_break_without_a_word_are_replaced_at_once(acme: Acme) -> None:
    client = acme.slack.gateway._handler.client
    before = client.session_id()
    acme.workspace.trouble.close_sockets()
    acme.workspace.wait_for(lambda: client.is_connected() and client.session_id() != before, 2)
    assert acme.slash(ANA, "/jit help") is not None


def test_a_full_queue_is_said_so(acme: Acme) -> None:
    def full(*_: object) -> None:
        raise errors.Busy

    acme.service.lanes.interactive.submit = full  # type: ignore[method-assign]
    acme.slash(ANA, "/jit mine")
    acme.whispered(ANA, "Too much is going on just now. Nothing was changed.")
    acme.slash(ANA, "/jit")
    acme.window(ANA, "Too much is going on just now.")


def test_a_bug_is_answered_with_a_reference_and_never_with_itself(acme: Acme) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    acme.slack.directory.person = broken  # type: ignore[method-assign]
    acme.slash(ANA, "/jit mine")
    said = acme.whispered(ANA, "That did not work, and nothing was changed. Reference ")
    assert "secret detail" not in text_of(said)
