"""App Home and the private lists: my access, waiting for me, my requests, what I may request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot import catalog as catalogs
from bot import model
from bot.slack import blocks, cards, ids, words
from bot.slack.ids import Act
from bot.slack.words import Around, State
from bot.telling import render

Draw = Callable[[model.Story, Around], list[blocks.Block]]

MOST = 10  # of each list
_BLOCKS = 100  # https://docs.slack.dev/reference/views/home-tab-views


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """What concerns one person now."""

    person: model.Person
    holding: Sequence[model.Story]  # live grants of theirs, soonest end first
    waiting: Sequence[model.Story]  # requests they may decide, oldest first
    watching: Sequence[model.Story]  # live grants of others that they may revoke
    asked: Sequence[model.Story]  # their requests, newest first
    offered: Sequence[catalogs.Entitlement]


def view(mine: Mine, around: Around, *, trouble: str = "") -> blocks.Block:
    """The Home tab."""
    refused = mine.person.refusal
    if refused is not None:
        said = f"This bot does not serve {refused.value}."
        return {"type": "home", "blocks": [blocks.quote(said)]}
    new = blocks.button("New request", Act.ASK_NEW, ids.SHORTCUT, style="primary")
    parts = [
        *([blocks.quote(trouble)] if trouble else []),
        blocks.actions("home.new", new),
        blocks.header("My access now"),
        *_each(mine.holding, around, holding, "You hold nothing now."),
        blocks.header("Waiting for me"),
        *_each(mine.waiting, around, to_decide, "Nothing waits for you."),
        *([blocks.header("Access I may revoke")] if mine.watching else []),
        *_each(mine.watching, around, to_revoke, ""),
        blocks.header("My requests"),
        *_each(mine.asked, around, past, "You have asked for nothing yet."),
        blocks.header("What I may request"),
        *_offers(mine.offered),
    ]
    return {"type": "home", "blocks": _fitting(parts)}


def _fitting(parts: list[blocks.Block]) -> list[blocks.Block]:
    """As many as Slack takes; that there are more is said."""
    if len(parts) <= _BLOCKS:
        return parts
    more = "More does not fit here. /jit pending, /jit list and /jit mine show it; /jit asks."
    return [*parts[: _BLOCKS - 1], blocks.context(render.escape(more))]


def _each(
    stories: Sequence[model.Story], around: Around, draw: Draw, nothing: str
) -> list[blocks.Block]:
    found = [block for story in stories[:MOST] for block in draw(story, around)]
    if not found:
        return [blocks.context(render.escape(nothing))] if nothing else []
    rest = len(stories) - MOST
    return [*found, blocks.context(render.escape(f"and {rest} more"))] if rest > 0 else found


def holding(story: model.Story, around: Around) -> list[blocks.Block]:
    """Access I have: until when, and what I can do with it."""
    request, grant = story.request, story.grant
    where = words.state(story)
    what = f"*{render.escape(request.entitlement)}* on {render.escape(request.target)}"
    if where is not State.ACTIVE or grant is None:
        return [blocks.section(render.Mrkdwn(f"{what}\n{words.line(story, around)}"))]
    until = render.when(grant.expires_at, around.now)
    left = render.countdown(grant.expires_at, around.now)
    buttons = (cards.credentials(request), cards.done(request))
    return [
        blocks.section(render.Mrkdwn(f"{what}\nuntil {until} ({left})")),
        blocks.actions(f"holding.{request.id}", *buttons),
    ]


def to_decide(story: model.Story, around: Around) -> list[blocks.Block]:
    """A request that waits for me, with the same buttons as its card."""
    request = story.request
    buttons = (cards.approve(request), cards.deny(request), cards.details(request))
    return [*_asked(story, around), blocks.actions(f"deciding.{request.id}", *buttons)]


def _asked(story: model.Story, around: Around) -> list[blocks.Block]:
    request = story.request
    said = (f"*{words.headline(request)}*", words.reach(request), words.line(story, around))
    head = render.Mrkdwn("\n".join(said))
    why = render.clean(request.justification, limit=cards.WHY_SHOWN)
    return [blocks.section(head), blocks.labelled("Why", why)]


def to_revoke(story: model.Story, around: Around) -> list[blocks.Block]:
    """Somebody's access that I may end."""
    request = story.request
    buttons = (cards.revoke(request), cards.details(request))
    return [
        blocks.section(words.holder(story, around)),
        blocks.actions(f"watching.{request.id}", *buttons),
    ]


def past(story: model.Story, around: Around) -> list[blocks.Block]:
    """A request of mine, in a line and what is known of it."""
    request = story.request
    where = words.state(story)
    on = render.clock(request.created_at, full=True)
    place = render.escape(f"on {request.target}, {render.duration(request.duration)}")
    what = f"*{render.escape(request.entitlement)}* {place}"
    asked, said = f"{what}, asked {on}", words.line(story, around)
    beside = cards.cancel(request) if where is State.WAITING else cards.same_again(request)
    if cards.is_quoting(story):
        head = blocks.section(render.Mrkdwn(asked), accessory=beside)
        return [head, cards.spoken(story, said)]
    return [blocks.section(render.Mrkdwn(f"{asked}\n{said}"), accessory=beside)]


def _offers(offered: Sequence[catalogs.Entitlement]) -> list[blocks.Block]:
    if not offered:
        return [blocks.context(render.escape("Nothing is offered to you."))]
    found = [_offer(each) for each in offered[: 2 * MOST]]
    rest = len(offered) - len(found)
    more = f"and {rest} more. Press New request and type to search."
    return [*found, blocks.context(render.escape(more))] if rest > 0 else found


def _offer(entitlement: catalogs.Entitlement) -> blocks.Block:
    said = [entitlement.description, entitlement.sensitivity]
    about = " · ".join(each for each in said if each)
    where = f"{entitlement.target} ({entitlement.environment})"
    longest = f"at most {render.duration(entitlement.max_duration)}"
    name = f"*{render.escape(entitlement.name)}* on {render.escape(f'{where}, {longest}')}"
    text = render.Mrkdwn("\n".join(filter(None, [name, render.escape(about)])))
    ask = blocks.button("Ask", Act.ASK_FOR, entitlement.name, label=f"Ask for {entitlement.name}")
    return blocks.section(text, accessory=ask)


def listed(
    what: str, mine: Mine, around: Around, link: Callable[[model.Story], render.Mrkdwn]
) -> list[blocks.Block]:
    """`/jit mine | pending | list` as a private message."""
    match what:
        case "mine":
            held = [b for s in mine.holding[:MOST] for b in holding(s, around)]
            asked = [b for s in _finished(mine.asked)[:MOST] for b in past(s, around)]
            nothing = "You hold nothing and have asked for nothing yet."
            return [*held, *asked] or [blocks.quote(nothing)]
        case "pending":
            rows = [_row(s, around, link) for s in mine.waiting[: 2 * MOST]]
            return rows or [blocks.quote("Nothing waits for you.")]
        case _:
            live = [*mine.holding, *mine.watching]
            rows = [_held(s, around, link) for s in live[: 2 * MOST]]
            return rows or [blocks.quote("Nothing is active that concerns you.")]


def _finished(stories: Sequence[model.Story]) -> list[model.Story]:
    """Those that are not already among what is held."""
    return [s for s in stories if s.grant is None or s.grant.status not in model.LIVE_GRANT]


def _row(
    story: model.Story, around: Around, link: Callable[[model.Story], render.Mrkdwn]
) -> blocks.Block:
    request = story.request
    text = (
        f"`{request.id}` *{words.headline(request)}*\n{words.line(story, around)} · {link(story)}"
    )
    return blocks.section(render.Mrkdwn(text))


def _held(
    story: model.Story, around: Around, link: Callable[[model.Story], render.Mrkdwn]
) -> blocks.Block:
    text = f"`{story.request.id}` {words.holder(story, around)} · {link(story)}"
    return blocks.section(render.Mrkdwn(text))
