"""What is done for a person once their click, command or window is acknowledged.

Every method runs on a worker, may be slow, and may raise: `Counter` turns errors into words.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bot import catalog as catalogs
from bot import errors, model, store
from bot.asking import access, grants
from bot.deciding import policy
from bot.slack import answers, blocks, command, forms, home, identity, modals, scene, words
from bot.slack.origin import Origin
from bot.telling import notices, render

Describe = Callable[[model.Story], Sequence[str]]

NOTE_WITHIN = 2.0  # seconds between a card being seen and its place being recorded
_TITLES = {
    "mine": "What you hold and have asked for",
    "pending": "What waits for you",
    "list": "What is active",
}
_UNSURE = "Could not ask Slack what you may request. Try again in a moment."
_NOT_SAID = "What will happen cannot be told just now."
_EMPTY_HINT = "Choose what you need, and this line says what will happen."


class Desk:
    """The use cases, as Slack's surfaces need them."""

    def __init__(
        self,
        *,
        access: access.Access,
        grants: grants.Grants,
        store: store.Store,
        directory: identity.Directory,
        catalog: Callable[[], catalogs.Catalog],
        scene: scene.Scene,
        answers: answers.Answers,
        describe: Describe | None,
    ) -> None:
        self._access = access
        self._grants = grants
        self._store = store
        self._directory = directory
        self._catalog = catalog
        self._scene = scene
        self._answers = answers
        self._describe = describe

    # -- asking

    def typed(self, origin: Origin, text: str) -> None:
        """A command that needs no window: complete, or a list, or wrong."""
        person = self._directory.person(origin.user_id)
        if person.refusal is not None:
            raise errors.NotAllowed(_refused(person.refusal))
        offered = self._access.offered(origin.user_id)
        asked = command.parse(text, {each.name for each in offered})
        if isinstance(asked, command.Ask | command.Wrong):
            self._ensure_open()
        match asked:
            case command.Ask():
                self._ask(origin, asked)
            case command.Show(what=what):
                self.show(origin, what)
            case command.Revoke(id=request_id, comment=comment):
                self._grants.revoke(request_id, origin.user_id, comment)
                self._answers.private(origin, f"Ending {request_id} now.")
            case command.Wrong(message=message):
                raise errors.NotFound(self._doubt(origin, text) or message)

    def _doubt(self, origin: Origin, text: str) -> str:
        """That Slack does not tell whether what was typed may be requested; "" where it does."""
        typed = command.first_word(text)
        known = (name for name in self._catalog().entitlements if name.lower() == typed)
        draft = forms.Form(entitlement=next(known, ""), why="…").draft(origin.user_id)
        return next((r for r in self._access.preview(draft).reasons if r == policy.UNASKED), "")

    def _ensure_open(self) -> None:
        """Raise NotAllowed while nothing at all can be requested; what ends access goes on."""
        if shut := self._access.closed():
            raise errors.NotAllowed(shut)

    def _ask(self, origin: Origin, asked: command.Ask) -> None:
        form = forms.Form(
            entitlement=asked.entitlement,
            duration=asked.duration,
            why=asked.why,
            channel_id=origin.channel_id,
        )
        try:
            story = self._access.submit(form.draft(origin.user_id, origin.key))
            said = words.message("receipt", story, self._scene.plain())
        except errors.AlreadyAsked as known:
            said = self._waits(known)
        self._answers.private(origin, said, [blocks.section(said)])

    def _waits(self, known: errors.AlreadyAsked) -> render.Mrkdwn:
        """Where the request is that was made before, and who may decide it."""
        story = self._store.story(known.request_id)
        return words.message("already", story, self._scene.plain(), link=self.link(story))

    def fill(self, origin: Origin, opened: tuple[str, str], form: forms.Form) -> None:
        """Turn a skeleton into the request form."""
        self._ensure_open()
        view_id, hash_ = opened
        person = self._directory.person(origin.user_id)
        if person.refusal is not None:
            raise errors.NotAllowed(_refused(person.refusal))
        offered = self._access.offered(origin.user_id)
        chosen = next((each for each in offered if each.name == form.entitlement), None)
        known, problem = chosen is not None, ""
        if not offered and self._access.is_unsure(origin.user_id):
            raise errors.NotAllowed(_UNSURE)
        if form.entitlement and not known:
            problem = self._doubt(origin, form.entitlement) or _unknown(form.entitlement, offered)
        form = form if known else replace(form, entitlement="")
        if too_long := forms.too_long(form, chosen):
            problem, form = too_long, replace(form, duration=None)
        view = forms.view(form, offered, "…" if known else _EMPTY_HINT, problem=problem)
        self._answers.update(view_id, view, hash_=hash_)
        if known:
            view = forms.view(form, offered, self._hint(origin, form), problem=problem)
            self._answers.update(view_id, view)

    def again(self, origin: Origin, opened: tuple[str, str]) -> None:
        """The form, filled in like an earlier request; the reason only for whoever wrote it."""
        request = self._store.request(origin.value)
        own = request.requester_id == origin.user_id
        form = forms.Form(
            entitlement=request.entitlement,
            tables=request.tables,
            duration=request.duration,
            why=request.justification if own else "",
        )
        self.fill(origin, opened, form)

    def choice(self, origin: Origin) -> blocks.Block:
        """The form as it looks after a choice: fields that follow from it, and what will happen."""
        self._ensure_open()
        form = forms.read(origin.view)
        offered = self._access.offered(origin.user_id)
        chosen = next((each for each in offered if each.name == form.entitlement), None)
        if chosen is None or (form.target and chosen.target != form.target):
            form = replace(form, entitlement="")
            return forms.view(form, offered, _EMPTY_HINT)
        kept = tuple(label for label in form.tables if label in chosen.labels)
        form = replace(form, tables=kept)
        return forms.view(form, offered, self._hint(origin, form))

    def _hint(self, origin: Origin, form: forms.Form) -> str:
        """What would happen, judged as if the reason not written yet were in order."""
        wanted = self._catalog().entitlements.get(form.entitlement)
        why = form.why.strip() or f"{(wanted.ticket_example if wanted else None) or ''} because"
        try:
            decision = self._access.preview(replace(form, why=why).draft(origin.user_id))
        except errors.JitError:
            return _NOT_SAID
        return " · ".join(decision.reasons) or _NOT_SAID

    def suggest(
        self, origin: Origin, action_id: str, block_id: str, typed: str
    ) -> list[blocks.Block]:
        """Options for a type-ahead field: only what this person may request."""
        return forms.suggestions(action_id, block_id, typed, self._access.offered(origin.user_id))

    def submit(self, origin: Origin) -> model.Story | blocks.Block:
        """The request window was sent; what to put over it when the same is waiting already.

        Raises InvalidDraft, NotAllowed, IdentityUnknown.
        """
        draft = forms.read(origin.view).draft(origin.user_id, f"view:{origin.view_id}")
        try:
            return self._access.submit(draft)
        except errors.AlreadyAsked as known:
            said = [blocks.section(self._waits(known))]
            return modals.saying("Already asked", "") | {"blocks": said}

    def asked(self, origin: Origin, story: model.Story) -> blocks.Block:
        """What stands in a window that could not be closed in time."""
        del origin
        said = words.message("receipt", story, self._scene.plain())
        return modals.saying("Asked", "") | {"blocks": [blocks.section(said)]}

    # -- deciding

    def approve(self, origin: Origin) -> None:
        """Approve; the card tells the rest."""
        self._await_note(origin.value, origin.source)
        self._access.review(
            origin.value, origin.user_id, model.Answer.APPROVE, source=origin.source
        )

    def check_deny(self, origin: Origin, opened: tuple[str, str]) -> None:
        """After the window is open: say what it is about, or at once that the answer cannot count."""
        self._await_note(origin.value, origin.source)
        self._access.check_review(origin.value, origin.user_id, origin.source)
        what = words.headline(self._store.request(origin.value))
        said = render.Mrkdwn(f"*{what}*")
        self._answers.update(opened[0], modals.deny(origin.value, origin.place, said))

    def name_revoke(self, origin: Origin, opened: tuple[str, str]) -> None:
        """After the window is open: say whose access it is, to those who may end it."""
        with contextlib.suppress(errors.UserError):  # who may is judged when it is sent
            story = self._store.story(origin.value)
            if not self._scene.may_end(story, self._directory.person(origin.user_id)):
                return
            what = words.holder(story, self._scene.plain())
            self._answers.update(opened[0], modals.revoke(origin.value, origin.place, what))

    def _await_note(self, request_id: str, source: access.Source | None) -> None:
        """A fast click can overtake our own note of where the card was posted."""
        deadline = time.monotonic() + NOTE_WITHIN
        while source is not None and time.monotonic() < deadline:
            noted = self._store.messages(request_id)
            if any(message.kind == notices.Kind.CARD for message in noted):
                return
            time.sleep(0.02)

    def deny(self, origin: Origin) -> None:
        """The reason was sent."""
        place = forms.metadata_source(origin.view)
        source = access.Source(channel_id=place[0], ts=place[1]) if place else None
        request_id, reason = forms.metadata_id(origin.view), forms.comment(origin.view)
        if not reason:
            raise errors.InvalidDraft(
                {"comment": "Say why, in a few words: the requester reads it."}
            )
        self._await_note(request_id, source)
        self._access.review(
            request_id,
            origin.user_id,
            model.Answer.DENY,
            reason,
            source=source,
        )

    def cancel(self, origin: Origin) -> None:
        """Withdraw one's own request."""
        self._access.cancel(origin.value, origin.user_id)

    def details(self, origin: Origin, opened: tuple[str, str]) -> None:
        """Everything about a request, for those it concerns."""
        story = self._store.story(origin.value)
        around = self._scene.around(story)
        self._check_concerned(story, origin.user_id, around)
        steps = self._describe(story) if self._describe else ()
        self._answers.update(opened[0], modals.details(story, around, steps), hash_=opened[1])

    def _check_concerned(self, story: model.Story, user_id: str, around: words.Around) -> None:
        request = story.request
        took_part = {request.decided_by, *(review.reviewer_id for review in story.reviews)}
        person = self._directory.person(user_id)
        concerned = user_id in took_part or self._scene.may_end(story, person)
        if not concerned or person.refusal is not None:
            able = words.approvers(request, around) or ["whoever may revoke it"]
            names = [*able, render.short(request.requester_name)]
            may = render.unescape(render.Mrkdwn(render.listing(names, "or")))
            raise errors.NotAllowed(f"Only {may} can see the details.")

    # -- holding

    def credentials(self, origin: Origin, opened: tuple[str, str]) -> None:
        """A fresh password, into the window that its requester has just opened."""
        made = self._grants.reveal(origin.value, origin.user_id)
        story = self._store.story(origin.value)
        view = modals.credentials(story, made, self._scene.plain())
        if not self._answers.update(opened[0], view):
            raise errors.Busy("The window could not be filled. Open the credentials again.")

    def give_back(self, origin: Origin) -> None:
        """The requester is done."""
        self._grants.give_back(origin.value, origin.user_id)

    def revoke(self, origin: Origin) -> None:
        """The revoke window was sent."""
        self._grants.revoke(
            forms.metadata_id(origin.view), origin.user_id, forms.comment(origin.view)
        )

    def stop_trying(self, origin: Origin) -> None:
        """Give an activation up."""
        self._grants.stop_trying(origin.value, origin.user_id)

    def acknowledge(self, origin: Origin) -> None:
        """Somebody knows about an alarm."""
        self._grants.alarms.acknowledge(origin.value, origin.user_id)

    # -- looking

    def show(self, origin: Origin, what: str) -> None:
        """`/jit help | mine | pending | list`, privately."""
        if what == "help":
            offered = [each.name for each in self._access.offered(origin.user_id)]
            said = render.text("help", offered=offered)
            self._answers.private(origin, said, [blocks.section(said)])
            return
        parts = home.listed(what, self._scene.mine(origin.user_id), self._scene.plain(), self.link)
        self._answers.private(origin, _TITLES[what], parts)

    def link(self, story: model.Story) -> render.Mrkdwn:
        """A link to the card of a request, where there is one."""
        where = self._directory.permalink(story.message(notices.Kind.CARD))
        return render.link(where, "its thread")

    def home(self, user_id: str) -> blocks.Block:
        """The Home tab of a person."""
        trouble = self._access.closed() or ""
        return home.view(self._scene.mine(user_id), self._scene.plain(), trouble=trouble)


def _refused(refusal: model.Refusal) -> str:
    return f"You may not request this: {refusal.value} cannot ask for access."


def _unknown(name: str, offered: Sequence[catalogs.Entitlement]) -> str:
    found = command.parse(name, {each.name for each in offered})
    return found.message if isinstance(found, command.Wrong) else ""
