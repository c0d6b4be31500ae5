"""Messages about one request: the approval card and what the requester is told. Pure.

Each is a projection of the story: drawn whole from the record every time, never from a message.
"""

from dataclasses import dataclass

from bot import model
from bot.slack import blocks, ids, words
from bot.slack.ids import Act
from bot.slack.words import Around, State
from bot.telling import notices, render

WHY_SHOWN = 300  # characters of a justification on the card; Details has all of it
WHY_HEARD = 120  # characters of it in the notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What chat.postMessage and chat.update take. `text` is the notification and is read aloud."""

    text: render.Mrkdwn
    blocks: list[blocks.Block]


_LOOKS = frozenset({State.WAITING, State.GRANTING, State.DELAYED, State.ACTIVE})


def card(story: model.Story, around: Around) -> Message:
    """The approval card: one message, edited in place as things move on."""
    request, where = story.request, words.state(story)
    head = words.headline(request)
    said = words.line(story, around)
    parts = [
        blocks.section(render.Mrkdwn(f"*{head}*")),
        _facts(story, around),
        blocks.labelled("Why", render.clean(request.justification, limit=WHY_SHOWN)),
        blocks.context(_rule(request, around)),
        *([] if where is State.WAITING else [spoken(story, said)]),
        *_small_print(where, said, around),
        blocks.actions(f"card.{request.id}", *_card_buttons(request, where)),
    ]
    text = _rings(head, request) if where is State.WAITING else f"{head}. {said}"
    return Message(text=render.Mrkdwn(text), blocks=parts)


def _rings(head: render.Mrkdwn, request: model.AccessRequest) -> str:
    """What a telephone shows of a card that waits: enough to know whether to get up."""
    why = render.escape(render.clean(request.justification, limit=WHY_HEARD))
    return f"{head}, {render.duration(request.duration)}: {why}"


def _facts(story: model.Story, around: Around) -> blocks.Block:
    request = story.request
    length = f"*For*  {render.duration(request.duration)}, from approval"
    mark = f" · {render.escape(around.sensitivity)}" if around.sensitivity else ""
    reach = f"{words.reach(request)}{mark}"
    return blocks.fields(*(render.Mrkdwn(text) for text in (length, reach)))


def _rule(request: model.AccessRequest, around: Around) -> render.Mrkdwn:
    """What says who decides."""
    who = f"{request.needs} of {', '.join(words.approvers(request, around))}"
    if request.verdict is model.Verdict.AUTO_APPROVE:
        who = "approved automatically"
    return render.Mrkdwn(f"Rule {render.escape(request.rule)}: {who}")


def spoken(story: model.Story, said: render.Mrkdwn) -> blocks.Block:
    """A sentence; one that holds a reviewer's own words is plain text (it has no dates)."""
    return blocks.quote(render.unescape(said)) if is_quoting(story) else blocks.section(said)


def is_quoting(story: model.Story) -> bool:
    """Whether the sentence on its state holds somebody's own words."""
    return bool(story.request.comment) and story.request.status is model.RequestStatus.DENIED


def _small_print(where: State, said: render.Mrkdwn, around: Around) -> list[blocks.Block]:
    if where is not State.WAITING:
        return []
    before = (
        render.count(around.granted, "grant") if around.granted else "no grant"
    ) + " in 30 days"
    unused = f", {around.unused} never used" if around.unused else ""
    active = f"{around.others} more active" if around.others else "nothing else active"
    others = f"{active} at {render.clock(around.now)}"  # what comes later does not draw this again
    return [blocks.context(render.Mrkdwn(f"{before}{unused} · {others} · {words.lower(said)}"))]


def _card_buttons(request: model.AccessRequest, where: State) -> list[blocks.Block | None]:
    more = details(request)
    match where:
        case State.WAITING:
            return [approve(request), deny(request), more]
        case State.DELAYED:
            return [stop_trying(request), more]
        case State.ACTIVE:
            return [revoke(request), more]
        case State.SUPERSEDED:
            return [blocks.button("Ask again", Act.AGAIN, request.id), more]
        case State.ENDED:
            return [same_again(request), more]
        case _:
            return [more]


def approve(request: model.AccessRequest) -> blocks.Block:
    """`Approve 30 min`: says what happens."""
    length = render.duration(request.duration)
    return blocks.button(
        f"Approve {length}",
        Act.APPROVE,
        request.id,
        style="primary",
        label=f"Approve {length} for {render.clean(request.requester_name, limit=40)}",
    )


def deny(request: model.AccessRequest) -> blocks.Block:
    """`Deny…`: asks for the reason."""
    who = render.clean(request.requester_name, limit=40)
    return blocks.button(
        "Deny…", Act.DENY, request.id, label=f"Deny {who}'s request, with a reason"
    )


def revoke(request: model.AccessRequest) -> blocks.Block:
    """`Revoke`: asks again, in a window, with room for a comment."""
    who = render.clean(request.requester_name, limit=40)
    return blocks.button(
        "Revoke", Act.REVOKE, request.id, style="danger", label=f"Revoke {who}'s access, asks again"
    )


def stop_trying(request: model.AccessRequest) -> blocks.Block:
    """`Stop trying`: gives an activation up."""
    sure = blocks.confirm(
        "Stop trying?",
        f"{request.entitlement} on {request.target} will not be granted. It can be asked for again.",
        "Stop trying",
        no="Keep trying",
    )
    return blocks.button("Stop trying", Act.STOP, request.id, confirm=sure)


def done(request: model.AccessRequest) -> blocks.Block:
    """`I'm done`: gives the access back."""
    sure = blocks.confirm(
        "End your access now?",
        f"Open sessions on {request.target} are cut at once.",
        "End it",
    )
    label = f"I'm done with {request.entitlement}, asks again"
    return blocks.button("I'm done", Act.RETURN, request.id, confirm=sure, label=label)


def same_again(request: model.AccessRequest) -> blocks.Block:
    """`Same again`: the form, filled in alike."""
    label = f"Ask for {request.entitlement} again"
    return blocks.button("Same again", Act.AGAIN, request.id, label=label)


def credentials(request: model.AccessRequest) -> blocks.Block:
    """`Open credentials`."""
    label = f"Open credentials for {request.entitlement}"
    return blocks.button(
        "Open credentials", Act.CREDENTIALS, request.id, style="primary", label=label
    )


def cancel(request: model.AccessRequest) -> blocks.Block:
    """`Cancel`: withdraws a request that waits."""
    label = f"Cancel the request for {request.entitlement}"
    return blocks.button("Cancel", Act.CANCEL, request.id, label=label)


def details(request: model.AccessRequest) -> blocks.Block:
    """`Details`: everything about it, in a window."""
    who = render.clean(request.requester_name, limit=40)
    return blocks.button("Details", Act.DETAILS, request.id, label=f"Details of {who}'s request")


def receipt(story: model.Story, around: Around) -> Message:
    """To the requester: who was asked, until when."""
    request, where = story.request, words.state(story)
    return _direct(story, "receipt", around, cancel(request) if where is State.WAITING else None)


def live(story: model.Story, around: Around) -> Message:
    """To the requester: until when it is theirs, and what they can do with it."""
    request, where = story.request, words.state(story)
    if where is State.ACTIVE:
        return _direct(story, "live", around, credentials(request), done(request))
    return _direct(story, "live", around, same_again(request) if where is State.ENDED else None)


def told(story: model.Story, around: Around, line: str) -> Message:
    """To the requester: nothing came of it, and why."""
    request = story.request
    button = None
    if line in {notices.Line.DENIED, notices.Line.LAPSED, notices.Line.FAILED}:
        button = blocks.button("Ask for something else", Act.ASK_NEW, ids.SHORTCUT)
    if line == notices.Line.SUPERSEDED:
        button = blocks.button("Ask again", Act.AGAIN, request.id)
    return _direct(story, "told", around, button, line=line)


def summary(story: model.Story, said: render.Mrkdwn, comment: str) -> Message:
    """Under the card, at the very end; `comment` is what whoever ended it has to say, or empty."""
    head, _, rest = said.partition("\n")
    parts = [
        blocks.section(render.Mrkdwn(f"*{head}*\n{rest}")),
        *([blocks.quote(comment)] if comment else []),
        blocks.actions(f"summary.{story.request.id}", same_again(story.request)),
    ]
    text = "\n".join(filter(None, [said, render.escape(comment)]))
    return Message(text=render.Mrkdwn(text), blocks=parts)


def _direct(
    story: model.Story, template: str, around: Around, *buttons: blocks.Block | None, line: str = ""
) -> Message:
    text = words.message(template, story, around, line=line)
    quotes = line == notices.Line.ENDED  # somebody's comment, and no dates
    parts = [blocks.quote(render.unescape(text)) if quotes else spoken(story, text)]
    if any(buttons):
        parts.append(blocks.actions(f"{template}.{story.request.id}", *buttons))
    return Message(text=text, blocks=parts)
