"""Who sees what, who is woken, and what was handed out for a while only."""

import threading

import pytest

from bot.demo.workspace import acts, people, posting, refusal, slips, surfaces


class Watch:
    """A clock to set."""

    def __init__(self):
        self.at = 1_795_000_000.0

    def __call__(self):
        return self.at


@pytest.fixture
def place():
    return acts.Workspace()


def say(place, text, **more):
    return posting.post(place, "C0ACCESS", posting.Content(text=text), **more)


def test_timestamps_never_repeat_even_when_the_clock_stands_still():
    place = acts.Workspace(now=Watch())
    stamps = [place.next_ts() for _ in range(100)]
    assert len(set(stamps)) == 100
    assert stamps == sorted(stamps)


def test_an_ephemeral_message_is_for_one_persons_eyes(place):
    say(place, "hush", only_for="U0ANA")
    assert place.messages("C0ACCESS") == ()
    assert place.messages("C0ACCESS", as_user="U0BO") == ()
    assert [m.text for m in place.messages("C0ACCESS", as_user="U0ANA")] == ["hush"]


def test_nobody_points_at_what_they_do_not_see(place):
    hidden = say(place, "hush", only_for="U0ANA")
    with pytest.raises(acts.NotThere):
        surfaces.find(place, "U0BO", hidden)


def test_replies_stand_in_their_thread(place):
    root = say(place, "asked")
    say(place, "approved", thread_ts=root.ts)
    say(place, "shown in the channel too", thread_ts=root.ts, broadcast=True)
    assert [m.text for m in place.messages("C0ACCESS")] == ["asked", "shown in the channel too"]
    assert len(place.messages("C0ACCESS", root.ts)) == 3


def test_a_private_channel_is_seen_by_its_members_only(place):
    secret = people.Channel(
        id="C0SECRET", name="secret", members=frozenset({"U0BO"}), is_private=True
    )
    place.add_channel(secret)
    posting.post(place, "C0SECRET", posting.Content(text="psst"))
    assert place.messages("C0SECRET", as_user="U0ANA") == ()
    assert len(place.messages("C0SECRET", as_user="U0BO")) == 1
    assert secret not in place.places("U0ANA")


def test_outsiders_see_only_the_channels_they_are_in(place):
    assert not place.may_see("U0GUS", "C0AUDIT")
    assert not place.may_see("U0SAM", "C0GENERAL")
    assert place.may_see("U0GUS", "C0ACCESS")
    assert place.may_see("U0ANA", "C0DBA")


def test_a_conversation_with_the_bot_is_nobody_elses(place):
    assert place.may_see("U0ANA", place.dm("U0ANA"))
    assert not place.may_see("U0BO", place.dm("U0ANA"))


def test_waiting_ends_when_it_comes_true(place):
    speaker = threading.Timer(0.05, lambda: say(place, "at last"))
    speaker.start()
    assert place.wait_for(lambda: place.messages("C0ACCESS"), timeout=5)[0].text == "at last"
    speaker.join()


def test_waiting_in_vain_says_so(place):
    with pytest.raises(TimeoutError):
        place.wait_for(lambda: False, timeout=0.01)


def test_a_subscriber_hears_of_changes_until_it_leaves(place):
    heard = []
    leave = place.subscribe(heard.append)
    say(place, "one")
    leave()
    before = list(heard)
    say(place, "two")
    assert before
    assert heard == before


def test_a_trigger_opens_once():
    triggers = slips.Triggers(Watch())
    trigger_id = triggers.issue("U0ANA")
    assert triggers.spend(trigger_id) == "U0ANA"
    with pytest.raises(refusal.Refused, match="exchanged_trigger_id"):
        triggers.spend(trigger_id)
    with pytest.raises(refusal.Refused, match="invalid_trigger_id"):
        triggers.spend("1.2.made-up")


def test_a_trigger_lives_three_seconds():
    watch = Watch()
    triggers = slips.Triggers(watch)
    trigger_id = triggers.issue("U0ANA")
    watch.at += 3.01
    with pytest.raises(refusal.Refused, match="expired_trigger_id"):
        triggers.spend(trigger_id)


def test_a_response_url_takes_five_posts():
    urls = slips.ResponseUrls(Watch())
    token = urls.issue("U0ANA", "C0ACCESS")
    for _ in range(5):
        urls.spend(token)
    with pytest.raises(refusal.Refused, match="used_url"):
        urls.spend(token)


def test_a_response_url_lives_half_an_hour():
    watch = Watch()
    urls = slips.ResponseUrls(watch)
    token = urls.issue("U0ANA", "C0ACCESS")
    watch.at += 30 * 60 + 1
    with pytest.raises(refusal.Refused, match="expired_url"):
        urls.spend(token)


def test_the_record_is_bounded_and_holds_no_token(place):
    for number in range(2100):
        place.wire.note("call", "auth.test", body={"token": "xoxb-secret", "n": number})
    kept = place.wire.entries()
    assert len(kept) == 2000
    assert kept[-1].body == {"n": 2099}
    assert [entry.body["n"] for entry in place.wire.entries(after=kept[-2].number)] == [2099]


def test_marks_of_an_account_can_be_changed(place):
    place.change_user("U0BO", deleted=True)
    assert place.users["U0BO"].deleted


def test_waiting_holds_nobody_up(place):
    def look():
        speaker = threading.Thread(target=say, args=(place, "meanwhile"))
        speaker.start()
        speaker.join(timeout=2)
        return not speaker.is_alive()

    assert place.wait_for(look)
