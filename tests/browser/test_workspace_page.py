"""The page as a person uses it: by keyboard where that is possible, never by reaching inside."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import WAITING, Slack, Tab

pytestmark = pytest.mark.browser

HOSTILE = '</textarea><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"'


def composer(page: Page):
    return page.get_by_label("Message #db-access")


def ask(page: Page) -> None:
    """Open the modal by typing the command."""
    composer(page).press_sequentially("/jit")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_first_visit_is_ana_in_db_access_about_to_type(tab: Tab) -> None:
    page = tab()
    expect(page.get_by_role("heading", name="#db-access", level=1)).to_be_visible()
    expect(page.locator("#who")).to_contain_text("You are Ana")
    expect(composer(page)).to_be_focused()
    expect(page.get_by_text("Type /jit and press Enter")).to_have_count(1)


def test_the_composer_completes_commands_by_keyboard(tab: Tab, slack: Slack) -> None:
    page = tab()
    page.keyboard.type("/jit m")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(composer(page)).to_have_value("/jit mine")
    page.keyboard.press("Enter")
    slack.heard("command", "mine")
    page.keyboard.type("/jit")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("/jit help")
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(composer(page)).to_have_value("/jit")


def test_a_command_can_be_sent_as_typed_with_anything_after_it(tab: Tab, slack: Slack) -> None:
    page = tab()
    page.keyboard.type("/jit read_customer_data 30m INC-1 why")
    page.keyboard.press("Enter")
    slack.heard("command", "read_customer_data 30m INC-1 why")


def test_other_text_becomes_a_message(tab: Tab) -> None:
    page = tab()
    page.keyboard.type("good morning")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("good morning")
    expect(composer(page)).to_have_value("")


def test_asking_for_access_needs_no_mouse(tab: Tab, slack: Slack) -> None:
    page = tab()
    ask(page)
    expect(page.get_by_role("combobox", name="Target")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Target")).to_have_value("lake")
    expect(page.get_by_role("dialog")).to_contain_text("Needs 1 of Bo, Cleo.")
    page.keyboard.press("Tab")
    page.keyboard.type("read")
    expect(page.get_by_role("option")).to_have_count(1)
    expect(page.get_by_role("option")).to_contain_text("Customers without secrets")
    page.keyboard.press("Enter")
    expect(page.get_by_label("What")).to_have_value("read_customer_data")
    page.keyboard.press("Tab")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Why")).to_be_focused()
    page.keyboard.type("export stuck")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Write the ticket first.")).to_be_visible()
    expect(page.get_by_label("Why")).to_be_focused()
    expect(page.get_by_label("Why")).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Home")
    page.keyboard.type("INC-7: ")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(composer(page)).to_be_focused()
    (asked,) = [one for one in slack.told if one[0] == "asked"]
    assert asked[1] == "r"
    assert asked[3] == "INC-7: export stuck"


def test_who_has_closed_the_modal_goes_on_typing(tab: Tab) -> None:
    page = tab()
    ask(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.type("on second thought")
    expect(composer(page)).to_have_value("on second thought")


def test_an_empty_required_field_is_named_beside_the_field(tab: Tab) -> None:
    page = tab()
    ask(page)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Please complete this required field.")
    expect(page.get_by_label("Target")).to_be_focused()


def test_an_update_of_the_modal_keeps_what_was_typed(tab: Tab) -> None:
    page = tab()
    ask(page)
    page.get_by_label("Why").fill("half a sent")
    page.get_by_label("Target").click()
    page.get_by_role("option", name="shop").click()
    expect(page.get_by_role("dialog")).to_contain_text("Needs 1 of Bo, Cleo.")
    expect(page.get_by_label("Why")).to_have_value("half a sent")
    expect(page.get_by_label("Target")).to_have_value("shop")


def test_several_can_be_chosen_and_taken_back(tab: Tab) -> None:
    page = tab()
    ask(page)
    tables = page.get_by_role("combobox", name="Only these tables")
    for name in ("orders", "payments"):
        tables.click()
        page.get_by_role("option", name=name).click()
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("button", name="Remove orders").click()
    expect(page.locator(".chip")).to_have_text(re.compile("payments"))


def test_escape_closes_first_the_list_and_then_the_modal(tab: Tab, slack: Slack) -> None:
    page = tab()
    ask(page)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", name="shop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    slack.heard("closed")
    expect(composer(page)).to_be_focused()


def test_focus_stays_within_the_modal(tab: Tab) -> None:
    page = tab()
    ask(page)
    for _ in range(12):
        page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
        assert page.evaluate(inside)


def test_modals_stack_and_go_back(tab: Tab, slack: Slack) -> None:
    slack.post("card", blocks=WAITING)
    page = tab("U0BO")
    page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Deeper").click()
    expect(page.get_by_role("heading", name="Deeper")).to_be_visible()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("heading", name="Details")).to_be_visible()


def test_the_shortcut_menu_opens_the_modal(tab: Tab) -> None:
    page = tab()
    page.get_by_role("button", name="Shortcuts").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Ask for access")


def test_home_is_drawn_and_its_buttons_work(tab: Tab) -> None:
    page = tab()
    page.get_by_role("link", name="Home of JIT access").click()
    expect(page.get_by_role("heading", name="My access now")).to_be_visible()
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_role("dialog")).to_contain_text("postgresql://")


def test_a_private_answer_is_seen_by_one_person_and_says_so(tab: Tab, slack: Slack) -> None:
    slack.post("card", blocks=WAITING)
    ana, bo = tab("U0ANA"), tab("U0BO")
    ana.get_by_role("button", name="Approve 30 min").click()
    private = ana.get_by_role("listitem").filter(has_text="Someone else has to decide.")
    expect(private).to_contain_text("Only visible to you")
    expect(bo.get_by_text("Someone else has to decide.")).to_have_count(0)


def test_a_card_changes_in_place_for_everybody_and_keeps_a_draft(tab: Tab, slack: Slack) -> None:
    slack.post("card", blocks=WAITING)
    ana, bo = tab("U0ANA"), tab("U0BO")
    composer(ana).fill("half a tho")
    bo.get_by_role("button", name="Approve 30 min").focus()
    bo.keyboard.press("Enter")
    message = ana.get_by_role("listitem").filter(has_text="Ana Lima asks to read data")
    expect(message).to_contain_text("Active, by Bo")
    expect(message).to_contain_text("(edited)")
    expect(ana.get_by_role("button", name="Approve 30 min")).to_have_count(0)
    expect(composer(ana)).to_have_value("half a tho")
    expect(composer(ana)).to_be_focused()
    assert bo.evaluate("document.activeElement !== document.body")


def test_a_thread_opens_beside_and_grows_while_one_looks(tab: Tab, slack: Slack) -> None:
    ts = slack.post("card", blocks=WAITING)
    slack.post("Asked, 3 people may decide", thread_ts=ts)
    ana, bo = tab("U0ANA"), tab("U0BO")
    ana.get_by_role("link", name="1 reply").click()
    thread = ana.get_by_role("complementary", name="Thread")
    expect(thread).to_contain_text("Asked, 3 people may decide")
    expect(thread.get_by_role("combobox", name="Reply in thread")).to_be_focused()
    ana.keyboard.type("I am loo")
    bo.get_by_role("button", name="Approve 30 min").click()
    expect(thread).to_contain_text("Approved by Bo")
    expect(ana.get_by_role("link", name="2 replies")).to_be_visible()
    ana.keyboard.type("king")
    ana.keyboard.press("Enter")
    expect(thread.get_by_role("log")).to_contain_text("I am looking")
    ana.keyboard.press("Escape")
    expect(thread).to_be_hidden()
    ana.go_back()
    expect(thread).to_contain_text("Approved by Bo")


def test_a_link_to_a_message_opens_its_thread_as_the_same_person(tab: Tab, slack: Slack) -> None:
    ts = slack.post("the card", blocks=WAITING)
    slack.post("Asked, 3 people may decide", thread_ts=ts)
    link = slack.client.chat_getPermalink(channel="C0ACCESS", message_ts=ts)["permalink"]
    slack.client.chat_postMessage(channel="C0AUDIT", text=f"Ana has access, <{link}|7k2m>")
    page = tab("U0BO", **{"in": "C0AUDIT"})
    page.get_by_role("link", name="7k2m").click()
    thread = page.get_by_role("complementary", name="Thread")
    expect(thread).to_contain_text("Asked, 3 people may decide")
    expect(page.locator("#who")).to_contain_text("You are Bo")


def test_a_button_that_asks_again_can_be_thought_better_of(tab: Tab, slack: Slack) -> None:
    slack.post("card", blocks=WAITING)
    page = tab("U0BO")
    revoke = page.get_by_role("button", name="Revoke")
    revoke.click()
    expect(page.get_by_role("dialog")).to_contain_text("Sessions are cut.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert ("revoked",) not in slack.told
    revoke.click()
    page.get_by_role("button", name="End it").click()
    slack.heard("revoked")


def test_one_can_become_somebody_else(tab: Tab) -> None:
    page = tab()
    page.locator("#who summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name=re.compile("^BC|Bo Chen")).first.click()
    expect(page.locator("#who")).to_contain_text("You are Bo")
    assert "as=U0BO" in page.url


def test_a_new_message_elsewhere_is_marked_until_it_is_read(tab: Tab, slack: Slack) -> None:
    page = tab()
    slack.client.chat_postMessage(channel="U0ANA", text="It is yours.")
    unread = page.get_by_role("link", name="JIT access unread")
    expect(unread).to_be_visible()
    unread.click()
    expect(page.get_by_role("log")).to_contain_text("It is yours.")
    expect(page.get_by_role("link", name="JIT access unread")).to_have_count(0)


def test_a_bot_that_is_away_is_told_and_the_command_is_not_lost(tab: Tab, slack: Slack) -> None:
    page = tab()
    slack.leave()
    expect(page.get_by_text("No app is connected")).to_be_visible()
    composer(page).focus()
    page.keyboard.type("/jit mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("/jit failed with the error")
    expect(composer(page)).to_have_value("/jit mine")


def test_nothing_anybody_writes_is_run(tab: Tab, slack: Slack) -> None:
    blocks = [
        {"type": "section", "text": {"type": "plain_text", "text": HOSTILE}},
        {"type": "section", "text": {"type": "mrkdwn", "text": HOSTILE}},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "static_select",
                    "action_id": "hostile",
                    "placeholder": {"type": "plain_text", "text": HOSTILE},
                    "options": [
                        {"text": {"type": "plain_text", "text": HOSTILE[:70]}, "value": "v"}
                    ],
                }
            ],
        },
    ]
    slack.post(HOSTILE, blocks=blocks)
    page = tab()
    composer(page).fill(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.get_by_text("<script>window.pwned=1</script>").nth(1)).to_be_visible()
    page.locator("[data-combo] input").click()
    expect(page.get_by_role("option")).to_contain_text("onerror")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
