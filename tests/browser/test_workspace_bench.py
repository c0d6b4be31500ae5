"""The bench beside the conversation, and how the page looks in any window, light or dark."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAITING, Slack, Tab

pytestmark = pytest.mark.browser


def test_the_sql_pane_is_given_the_address_and_shows_what_the_server_says(
    tab: Tab, slack: Slack
) -> None:
    slack.post("card", blocks=WAITING)
    page = tab()
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Connect to")).to_have_value("postgresql://jit_x:pw@127.0.0.1:1/shop")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_text("Connected to shop as jit_x")).to_be_visible()
    statement = page.get_by_label("Statement")
    statement.fill("select * from app.customers")
    statement.press("Control+Enter")
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_role("cell", name="<b>Mara</b>")).to_be_visible()
    expect(result.get_by_role("cell", name="null")).to_be_visible()
    statement.fill("select secret")
    slack.desk.answers.clear()
    statement.press("Control+Enter")
    expect(result).to_have_text("Running…")
    slack.desk.answers.set()
    expect(result).to_contain_text("permission denied for table secrets")
    slack.desk.cut = True
    statement.press("Control+Enter")
    expect(page.locator("#sql-state")).to_have_class(re.compile("cut"))
    assert ("connect", "U0ANA", "postgresql://jit_x:pw@127.0.0.1:1/shop") in slack.desk.asked


def test_clock_and_trouble_act_and_show_their_state(tab: Tab, slack: Slack) -> None:
    page = tab()
    expect(page.locator(".countdown")).to_have_text(re.compile(r"\d+:\d\d:\d\d left"))
    page.get_by_role("button", name="One minute left").click()
    expect(page.get_by_text("7k2m ends in 60 s")).to_be_visible()
    for name in ("Slack down", "Rate limit", "Target down", "Bot killed"):
        switch = page.get_by_role("switch", name=name)
        expect(switch).not_to_be_checked()
        switch.click()
        expect(switch).to_be_checked()
        switch.click()
        expect(switch).not_to_be_checked()
    assert ("clock", "7k2m", 60) in slack.desk.asked


def test_the_wire_shows_what_passed_and_can_be_opened_and_filtered(tab: Tab, slack: Slack) -> None:
    slack.post("on the wire")
    page = tab()
    wire = page.get_by_role("region", name="Wire")
    wire.get_by_role("button", name="chat.postMessage").first.click()
    expect(wire.locator("pre")).to_contain_text('"ts"')
    page.get_by_label("Filter the wire").fill("auth.test reply")
    expect(wire.get_by_role("button", name="chat.postMessage").first).to_be_hidden()
    expect(wire.get_by_role("button", name="auth.test").first).to_be_visible()


@pytest.mark.parametrize("width", [900, 1280, 1800])
def test_nothing_is_cut_off_sideways(tab: Tab, slack: Slack, width: int) -> None:
    ts = slack.post("card", blocks=WAITING)
    slack.post("a reply", thread_ts=ts)
    page = tab(width=width, thread=ts)
    expect(page.get_by_role("complementary", name="Thread")).to_contain_text("a reply")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [360, 390, 420])
def test_on_a_telephone_the_top_stays_one_line(tab: Tab, width: int) -> None:
    page = tab(width=width)
    top, who = page.locator("#top").bounding_box(), page.locator("#who summary").bounding_box()
    assert top
    assert who
    assert top["y"] <= who["y"]
    assert who["y"] + who["height"] <= top["y"] + top["height"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_a_narrow_window_the_bench_steps_aside_until_asked_for(tab: Tab) -> None:
    page = tab(width=900)
    bench = page.get_by_role("complementary", name="Bench")
    expect(bench).to_be_hidden()
    page.get_by_role("button", name="Bench", exact=True).click()
    expect(bench).to_be_visible()
    page.get_by_role("button", name="Bench", exact=True).click()
    expect(bench).to_be_hidden()


CONTRAST = """selectors => selectors.map(selector => {
  const element = document.querySelector(selector);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = element;
  while (paint(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const [a, b] = [
    light(paint(getComputedStyle(element).color)),
    light(paint(getComputedStyle(behind).backgroundColor)),
  ].sort((x, y) => y - x);
  return [selector, (a + 0.05) / (b + 0.05)];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_against_its_ground(tab: Tab, slack: Slack, scheme: str) -> None:
    slack.post("card <@U0ANA> <@U0BO>", blocks=None)
    slack.post("card", blocks=WAITING)
    page = tab(scheme=scheme)
    page.get_by_role("button", name="Approve 30 min").click()
    expect(page.get_by_text("Only visible to you")).to_be_visible()
    seen = [
        ".brand .quiet", ".side h2", ".place-link .name", ".side-people small", ".place-head .quiet",
        ".byline time", ".badge", ".bk-text", ".bk-context", ".mention:not(.me)", ".mention.me",
        ".btn.primary", ".btn.danger", ".btn:not(.primary):not(.danger)", ".only-you",
        ".countdown", ".switch small", ".wire time", ".card .quiet", ".state",
    ]  # fmt: skip
    poor = {name: round(ratio, 2) for name, ratio in page.evaluate(CONTRAST, seen) if ratio < 4.5}
    assert poor == {}


def test_the_chosen_theme_stays(tab: Tab) -> None:
    page = tab()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
