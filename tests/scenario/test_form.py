"""The request form: opens at once, offers what is yours, says what will happen, keeps errors in it."""

import threading
from datetime import timedelta

from bot import errors
from bot.demo.workspace import things
from tests.scenario.conftest import ACCESS, ANA, BO, CLEO, GENERAL, Acme, text_of


def options(acme: Acme, user: str, view: things.View, field: str, typed: str = "") -> list[str]:
    return [each["value"] for each in acme.workspace.suggest(user, view, field, typed)]


def test_it_offers_only_what_this_person_may_request_and_searches_in_all_of_it(acme: Acme) -> None:
    acme.slash(ANA, "/jit")
    view = acme.window(ANA, "What", "Why")
    assert options(acme, ANA, view, "What") == ["read_customer_data", "write_logs"]
    assert options(acme, ANA, view, "What", "customer dat") == ["read_customer_data"]
    assert options(acme, ANA, view, "What", "app.logs") == ["write_logs"]
    assert options(acme, ANA, view, "What", "pages") == []
    assert "Target" not in text_of(view)


def test_it_says_before_it_is_sent_what_will_happen(acme: Acme) -> None:
    acme.slash(ANA, "/jit")
    view = acme.window(ANA, "Choose what you need")
    acme.workspace.select(ANA, view, "What", "write_logs")
    view = acme.window(ANA, "Approved automatically up to 30 min")
    acme.workspace.select(ANA, view, "How long", "1 h")
    view = acme.window(ANA, "Needs 1 of Bo, Cleo, Dan")
    acme.workspace.select(ANA, view, "What", "read_customer_data")
    acme.window(ANA, "Begin with the ticket, like", "Only these tables")


def test_a_target_narrows_what_can_be_chosen(acme: Acme) -> None:
    acme.slash(BO, "/jit")
    view = acme.window(BO, "Target")
    assert options(acme, BO, view, "Target") == ["shop", "wiki"]
    assert "read_pages" in options(acme, BO, view, "What")
    acme.workspace.select(BO, view, "Target", "wiki")
    view = acme.workspace.wait_for(
        lambda: (
            (v := acme.workspace.view_of(BO)) and "field.entitlement.wiki" in str(v.blocks) and v
        )
    )
    assert options(acme, BO, view, "What") == ["read_pages"]


def test_a_sent_form_asks_and_closes(acme: Acme) -> None:
    acme.workspace.shortcut(ANA, "request.new")
    view = acme.window(ANA, "What")
    acme.workspace.select(ANA, view, "What", "read_customer_data")
    acme.window(ANA, "Only these tables")
    sent = {"Only these tables": ["app.orders"], "How long": "1 h", "Why": "INC-7 late parcels"}
    assert acme.workspace.submit(ANA, values=sent) is None
    acme.wait_card("INC-7 late parcels")
    assert acme.workspace.view_of(ANA) is None
    request = acme.store.requests()[0]
    assert request.tables == ("app.orders",)
    assert "customers" not in text_of(acme.card())


def test_errors_stay_beside_their_fields(acme: Acme) -> None:
    acme.slash(ANA, "/jit read_customer_data")
    acme.window(ANA, "Needs 1 of Bo, Cleo, Dan")
    wrong = acme.workspace.submit(ANA, values={"Why": "no ticket"})
    assert wrong is not None
    assert {block: text[:28] for block, text in wrong.items()} == {
        "field.why": "Write the ticket first, like"
    }
    bare = acme.workspace.submit(ANA, values={"Why": "INC-1"})
    assert bare == {"field.why": "Say in a few words what it is for; a ticket alone does not tell."}
    assert acme.workspace.submit(ANA, values={"Why": "INC-1 with one"}) is None
    acme.wait_card("INC-1 with one")


def test_what_was_typed_is_in_the_form_already(acme: Acme) -> None:
    acme.slash(ANA, "/jit read_customer_data 1h")
    view = acme.window(ANA, "Needs 1 of Bo")
    assert "read_customer_data" in str(view.blocks)
    assert acme.workspace.submit(ANA, values={"Why": "INC-1 x"}) is None
    acme.wait_card("Approve 1 h")


def test_what_waits_already_is_told_and_the_form_stays(acme: Acme) -> None:
    acme.asked()
    first = acme.store.requests()[0].id
    acme.slash(ANA, "/jit read_customer_data")
    acme.window(ANA, "You have already asked for this, and it is waiting")
    assert acme.workspace.submit(ANA, values={"Why": "INC-2 once more"}) is None
    told = acme.window(ANA, "You have already asked for read_customer_data", "Bo, Cleo and Dan")
    assert "|its thread>" in str(told.blocks)
    acme.workspace.close_view(ANA)
    tables = {"Only these tables": ["app.orders"]}
    acme.window(ANA, "Only these tables")
    assert acme.workspace.submit(ANA, values=tables) is None
    acme.wait_card("INC-2 once more")
    assert len(acme.store.requests()) == 2
    assert acme.store.requests()[-1].id == first


def test_who_types_the_same_again_is_shown_the_one_that_waits(acme: Acme) -> None:
    acme.asked()
    acme.slash(ANA, "/jit read_customer_data 1h INC-2 once more")
    acme.whispered(
        ANA, "You have already asked for read_customer_data on shop, 30 min", "its thread"
    )
    assert len(acme.cards()) == 1


def test_it_opens_while_the_record_is_stuck(acme: Acme) -> None:
    gate = threading.Event()
    real = acme.store.grants
    acme.store.grants = lambda **k: (gate.wait(10), real(**k))[1]  # type: ignore[method-assign]
    acme.slash(ANA, "/jit read_customer_data")
    acme.window(ANA, "Why", "What")
    gate.set()
    acme.window(ANA, "Needs 1 of Bo")


def test_an_outcome_that_takes_long_is_told_in_the_window(acme: Acme) -> None:
    gate = threading.Event()
    real = acme.service.access.submit

    def slow(draft: object) -> object:
        gate.wait(10)
        return real(draft)  # type: ignore[arg-type]

    acme.service.access.submit = slow  # type: ignore[assignment, method-assign]
    acme.slash(ANA, "/jit write_logs")
    acme.window(ANA, "Approved automatically")
    assert acme.workspace.submit(ANA, values={"Why": "trace"}) is None
    acme.window(ANA, "One moment")
    gate.set()
    acme.window(ANA, "You asked for write_logs on shop")


def test_a_slow_refusal_is_told_in_the_window(acme: Acme) -> None:
    gate = threading.Event()

    def slow(_: object) -> object:
        gate.wait(10)
        raise errors.NotAllowed("Not today.")

    acme.service.access.submit = slow  # type: ignore[assignment, method-assign]
    acme.slash(ANA, "/jit write_logs")
    acme.window(ANA, "Approved automatically")
    acme.workspace.submit(ANA, values={"Why": "trace"})
    gate.set()
    acme.window(ANA, "Not today.")


def test_same_again_fills_the_form_for_whoever_presses_it(acme: Acme) -> None:
    request_id = acme.live()
    acme.slash(ANA, f"/jit revoke {request_id}")
    card = acme.wait_card("Same again")
    acme.workspace.click(ANA, card, "Same again")
    mine = acme.window(ANA, "Needs 1 of Bo")
    assert "INC-4412 export stuck" in str(mine.blocks)
    acme.workspace.click(CLEO, card, "Same again")
    theirs = acme.window(CLEO, "Needs 1 of")
    assert "INC-4412 export stuck" not in str(theirs.blocks)


def test_a_denial_needs_a_reason_and_reaches_the_requester(acme: Acme) -> None:
    card = acme.asked()
    acme.workspace.click(BO, card, "Deny…")
    acme.window(BO, "Reason")
    assert acme.workspace.submit(BO, values={"Reason": ""}) is not None
    blank = acme.workspace.submit(BO, values={"Reason": "  \n "})
    assert "Say why, in a few words" in str(blank)
    assert acme.workspace.submit(BO, values={"Reason": "use <!channel> *staging*"}) is None
    card = acme.wait_card("Denied by Bo: use <!channel> *staging*")
    assert "<!channel>" not in card.text
    assert not [b for b in card.blocks if "<!channel>" in str(b) and "mrkdwn" in str(b)]
    acme.told(ANA, "Bo denied read_customer_data on shop: use <!channel> *staging*")


def test_wrong_commands_get_the_nearest_names(acme: Acme) -> None:
    acme.slash(ANA, "/jit read_custmer_data 30m INC-1 x")
    acme.whispered(ANA, "Did you mean read_customer_data?")
    acme.slash(ANA, "/jit read_customer_data 9h INC-1 x")
    acme.whispered(ANA, "At most 4 h for read_customer_data.")
    acme.slash(ANA, "/jit revoke")
    acme.whispered(ANA, "/jit revoke ID")
    acme.slash(ANA, "/jit revoke zzzzzzzz")
    acme.whispered(ANA, "There is nothing of that name that you may see.")


def test_lists_show_what_concerns_one(acme: Acme) -> None:
    acme.slash(ANA, "/jit pending", channel=GENERAL)
    acme.whispered(ANA, "Nothing waits for you.")
    acme.asked()
    acme.slash(BO, "/jit pending", channel=ACCESS)
    acme.whispered(BO, "Ana Lima asks to read customer data", channel=ACCESS)
    acme.workspace.open_home(BO)
    home = acme.workspace.wait_for(lambda: acme.workspace.home_of(BO))
    acme.workspace.click(BO, home, "Approve 30 min")
    acme.wait_card("Active until")
    acme.slash(ANA, "/jit mine", channel=GENERAL)
    acme.whispered(ANA, "read_customer_data", "Open credentials")


def test_a_typed_duration_is_the_one_the_form_shows_and_judges(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs 20m")
    acme.window(ANA, "Approved automatically")
    assert acme.workspace.submit(ANA, values={"Why": "twenty is enough"}) is None
    acme.wait_card("twenty is enough")
    assert acme.store.requests()[0].duration == timedelta(minutes=20)


def test_a_typed_duration_that_is_too_long_is_said_at_once(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs 3h")
    acme.window(ANA, "At most 1 h for write_logs.", "Approved automatically")


def test_what_one_holds_already_is_said_before_it_is_sent(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs 15m why not")
    acme.told(ANA, "write_logs on shop is yours until")
    acme.slash(ANA, "/jit write_logs")
    acme.window(ANA, "Approved automatically up to 30 min", "You hold this until")
    assert acme.workspace.submit(ANA, values={"Why": "again"}) is None
    acme.workspace.wait_for(lambda: len(acme.store.grants()) == 2)
