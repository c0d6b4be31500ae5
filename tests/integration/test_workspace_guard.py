"""The page is a control panel of this machine; what another site's page may do with it: nothing."""

from collections.abc import Iterator

import httpx
import pytest

from bot.demo.workspace import acts, server


@pytest.fixture
def page() -> Iterator[httpx.Client]:
    with (
        server.Server(acts.Workspace(ack_timeout=0.2), page=True) as running,
        httpx.Client(base_url=running.url, trust_env=False) as client,
    ):
        yield client


SAID = {"as": "U0ANA", "in": "C0GENERAL", "text": "hello"}


def test_the_page_itself_may_act(page: httpx.Client) -> None:
    origin = str(page.base_url).rstrip("/")
    said = page.post("/page/say", json=SAID, headers={"Origin": origin})
    assert said.status_code == 200
    assert "hello" in page.get("/?as=U0ANA&in=C0GENERAL").text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Host": "evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
    ],
    ids=lambda headers: next(iter(headers)) + next(iter(headers.values())),
)
def test_another_sites_page_may_not_act(page: httpx.Client, headers: dict[str, str]) -> None:
    said = page.post("/page/say", json=SAID, headers=headers)
    assert said.status_code in (400, 403)
    assert "hello" not in page.get("/?as=U0ANA&in=C0GENERAL").text


def test_a_rebound_name_may_not_even_look(page: httpx.Client) -> None:
    assert page.get("/", headers={"Host": "evil.test"}).status_code in (400, 403)


def test_the_page_loads_and_sends_nothing_elsewhere(page: httpx.Client) -> None:
    policy = page.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "//" not in page.get("/").text.replace("<!doctype html>", "")


def test_what_cannot_be_understood_is_answered_in_words(page: httpx.Client) -> None:
    for told in ({}, {"as": "U0ANA", "in": "C0NOWHERE", "text": "hi"}):
        answer = page.post("/page/say", json=told)
        assert answer.status_code in (400, 404)
        assert answer.json()["problem"]


def test_without_a_bench_the_page_says_so(page: httpx.Client) -> None:
    assert "No bench is attached" in page.get("/").text
    answer = page.post("/page/sql/run", json={"as": "U0ANA", "statement": "select 1"})
    assert answer.json()["problem"] == "No bench is attached."


def test_a_person_sees_only_the_places_open_to_them(page: httpx.Client) -> None:
    guest = page.get("/?as=U0GUS&in=C0AUDIT").text
    assert 'data-in="C0ACCESS"' in guest
    assert "db-audit" not in guest


def test_the_switches_of_the_workspace_itself_work_from_the_page(page: httpx.Client) -> None:
    def checked() -> str:
        text = page.get("/").text
        return "".join(line for line in text.splitlines() if 'id="trouble-' in line)

    for name in ("slack_down", "rate_limit"):
        page.post("/page/trouble", json={"as": "U0ANA", "name": name, "on": True})
        assert f'id="trouble-{name}" aria-checked="true"' in checked()
    page.post("/page/trouble", json={"as": "U0ANA", "name": "rate_limit", "on": False})
    assert 'id="trouble-rate_limit" aria-checked="false"' in checked()
    assert 'id="trouble-slack_down" aria-checked="true"' in checked()
    page.post("/page/trouble", json={"as": "U0ANA", "name": "slack_down", "on": False})
    assert "true" not in checked()
