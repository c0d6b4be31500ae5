"""Asking and deciding: preview, submit, review, cancel, lapse.

The machine's verdict is recorded at submission and only a person's review follows; who that person
is and whether they may decide is read again, fresh, at their click.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, faults, model, store
from bot.asking import outcome
from bot.catalog import ticket
from bot.deciding import context, policy, refusal, settled
from bot.granting import places
from bot.telling import outcry

MOST_PENDING = 250  # requests of one person waiting at a time; a script gone wild, not a busy day

_PENDING = model.RequestStatus.PENDING
_REQUESTS = "requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The message in which a button was pressed."""

    channel_id: str
    ts: str


class Access:
    """The use cases of a request, up to the moment a grant exists.

    `wake` is called after each commit that leaves something to do or to say; `granted` in its
    place when that is a grant to be made.
    """

    def __init__(
        self,
        *,
        store: store.Store,
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        clock: clocks.Clock,
        wake: Callable[[], None] = lambda: None,
        granted: Callable[[model.Grant], None] | None = None,
        cry: outcry.Outcry | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._wake = wake
        self._granted = granted or (lambda _: wake())
        self._outcry = cry or outcry.Outcry(clock=clock)

    def preview(self, draft: model.Draft) -> model.Decision:
        """What would happen to this draft once its reason is written. Records nothing."""
        catalog, facts = self._catalog(), self._facts(draft, fresh=False)
        decision = policy.outlook(draft, catalog, facts, self._clock.now())
        if decision.verdict is not model.Verdict.NEEDS_APPROVAL:
            return decision
        scope_hash = catalogs.scope_hash(catalog.entitlements[draft.entitlement], draft.tables)
        waiting = self._store.requests(requester_id=draft.requester_id, status=_PENDING)
        if _same(scope_hash, waiting) is None:
            return decision
        return replace(decision, reasons=("You have already asked for this, and it is waiting",))

    def offered(self, person_id: str) -> tuple[catalogs.Entitlement, ...]:
        """What this person may request."""
        catalog = self._catalog()
        facts = context.collect(self._directory, catalog, person_id, None, fresh=False)
        return tuple(policy.offered(catalog, facts))

    def is_unsure(self, person_id: str) -> bool:
        """Whether more may be `offered`, and Slack does not tell just now."""
        catalog = self._catalog()
        return policy.is_unsure(catalog, context.collect(self._directory, catalog, person_id))

    def closed(self) -> str | None:
        """Why nothing at all can be requested just now, in words for people; None: it can."""
        return policy.closed(self._catalog())

    def submit(self, draft: model.Draft) -> model.Story:
        """Ask. The same `dedupe_key` gives the same story.

        Raises InvalidDraft (words beside fields), NotAllowed, IdentityUnknown.
        """
        known = self._known(draft)
        if known is not None:
            return known
        decision, facts = self._evaluate(draft, fresh=True)
        if facts.requester is None:
            raise errors.IdentityUnknown
        if decision.verdict is model.Verdict.DENY:
            self._refuse(draft, decision, facts.requester)
        request = self._request(draft, decision, facts.requester)
        try:
            with self._outcry.watching(_REQUESTS, at_once=True):
                self._record(request)
        except errors.Conflict:  # the same delivery, twice in the same instant
            known = self._known(draft)
            if known is None:
                raise
            return known
        faults.checkpoint("request-recorded")
        return self._went_on(request.id)

    def review(
        self,
        request_id: str,
        reviewer_id: str,
        answer: model.Answer,
        comment: str = "",
        *,
        source: Source | None,
    ) -> model.Story:
        """Approve or deny. `source` is none only for a view that we drew ourselves.

        Raises NotFound, NotAllowed, IdentityUnknown, TooLate; each refusal is an audit event.
        """
        actor = store.Actor(kind="user", id=reviewer_id)
        with refusal.recorded(self._store, actor, request_id, answer.value):
            asked = self._may_review(request_id, reviewer_id, source)
            people = (reviewer_id, asked.requester_id)
            now = context.ask(self._directory, self._catalog(), asked.entitlement, *people)
            reviewer = now.person(reviewer_id, fresh=True)
            needs = self._check_reviewer(self._store.story(request_id), reviewer, answer, now)
            with self._outcry.watching(_REQUESTS, at_once=True):
                self._decide(request_id, reviewer, answer, comment.strip(), needs)
        faults.checkpoint("decision-recorded")
        return self._went_on(request_id)

    def check_review(self, request_id: str, person_id: str, source: Source | None) -> None:
        """Raise (and record) what `review` would, before its reason is written; see there.

        What is known of people may be a minute old here: it is asked again when that is sent.
        """
        actor = store.Actor(kind="user", id=person_id)
        with refusal.recorded(self._store, actor, request_id, "open"):
            self._may_review(request_id, person_id, source)
            person, story = self._directory.person(person_id), self._store.story(request_id)
            self._check_reviewer(story, person, model.Answer.DENY, self._directory, fresh=False)

    def cancel(self, request_id: str, person_id: str) -> model.Story:
        """Withdraw one's own request. Raises NotFound, NotAllowed, TooLate."""
        request = self._store.request(request_id)
        actor = store.Actor(kind="user", id=person_id)
        with refusal.recorded(self._store, actor, request_id, "cancel"):
            if request.requester_id != person_id:
                raise errors.NotAllowed("Only the person who asked can withdraw a request.")
            self._withdraw(request)
        self._wake()
        return self._store.story(request_id)

    def lapse(self) -> int:
        """Settle every request that nobody decided in time; how many there were."""
        lapsed = 0
        for request in self._store.lapsed(self._clock.now()):
            try:
                self._lapse(request)
                lapsed += 1
            except errors.Conflict:  # decided in this instant
                continue
        if lapsed:
            self._wake()
        return lapsed

    def _went_on(self, request_id: str) -> model.Story:
        """See to what follows from a commit; whoever has a grant now waits for no sweep."""
        story = self._store.story(request_id)
        if story.grant is None:
            self._wake()
        else:
            self._granted(story.grant)
        return story

    def _evaluate(self, draft: model.Draft, *, fresh: bool) -> tuple[model.Decision, model.Facts]:
        facts = self._facts(draft, fresh=fresh)
        return policy.evaluate(draft, self._catalog(), facts, self._clock.now()), facts

    def _facts(self, draft: model.Draft, *, fresh: bool) -> model.Facts:
        return context.collect(
            self._directory,
            self._catalog(),
            draft.requester_id,
            draft.entitlement,
            fresh=fresh,
            holds=_holds(self._store, draft.requester_id),
        )

    def _known(self, draft: model.Draft) -> model.Story | None:
        """The story of an earlier delivery of this draft."""
        if draft.dedupe_key is None:
            return None
        known = self._store.find_request_by_dedupe(draft.dedupe_key)
        return self._store.story(known.id) if known else None

    def _refuse(
        self, draft: model.Draft, decision: model.Decision, requester: model.Person
    ) -> None:
        with self._store.begin(_actor(requester)) as tx:
            told = {"entitlement": draft.entitlement, "reasons": list(decision.reasons)}
            tx.record("request.refused", None, {**told, "fields": dict(decision.fields)})
        if decision.fields:
            raise errors.InvalidDraft(decision.fields)
        raise errors.NotAllowed(" ".join(decision.reasons))

    def _request(
        self, draft: model.Draft, decision: model.Decision, requester: model.Person
    ) -> model.AccessRequest:
        catalog, now = self._catalog(), self._clock.now()
        wanted = catalog.entitlements[draft.entitlement]
        scope = catalogs.scope_of(wanted, draft.tables)
        justification = draft.justification.strip()
        return model.AccessRequest(
            id=model.new_id(),
            status=_PENDING,
            requester_id=requester.id,
            requester_name=requester.name,
            requester_tz=requester.tz,
            team_id=requester.team_id,
            target=wanted.target,
            environment=wanted.environment,
            entitlement=wanted.name,
            tables=draft.tables,
            scope=catalogs.scope_to_json(scope)
            | {"place": places.noted(catalog.targets[wanted.target])},
            scope_hash=catalogs.scope_hash(wanted, draft.tables),
            catalog_version=catalog.version,
            duration=decision.duration or wanted.default_duration,
            justification=justification,
            ticket=ticket.find(wanted.ticket, justification) if wanted.ticket else None,
            verdict=decision.verdict,
            rule=decision.rule,
            reasons=decision.reasons,
            approvers=decision.approvers,
            needs=decision.needs,
            created_at=now,
            decide_by=now + (decision.decide_within or timedelta(hours=1)),
            dedupe_key=draft.dedupe_key,
            channel_id=draft.channel_id,
        )

    def _record(self, request: model.AccessRequest) -> None:
        actor = store.Actor(kind="user", id=request.requester_id, name=request.requester_name)
        with self._store.begin(actor) as tx:
            if request.dedupe_key and tx.find_request_by_dedupe(request.dedupe_key):
                raise errors.Conflict("This delivery has already become a request.")
            _check_limits(request, tx.requests(requester_id=request.requester_id, status=_PENDING))
            outcome.ask(tx, request)
            faults.checkpoint("request-uncommitted")

    def _withdraw(self, request: model.AccessRequest) -> None:
        who = request.requester_name
        actor = store.Actor(kind="user", id=request.requester_id, name=who)
        with self._store.begin(actor) as tx:
            settled.ensure_open(tx.story(request.id), tx.at, request.requester_id)
            outcome.withdraw(tx, request)

    def _may_review(
        self, request_id: str, person_id: str, source: Source | None
    ) -> model.AccessRequest:
        """What can be refused without asking Slack who is there."""
        if source is not None:
            self._bind(request_id, source)
        story = self._store.story(request_id)
        settled.ensure_open(story, self._clock.now(), person_id)
        return story.request

    def _bind(self, request_id: str, source: Source) -> None:
        found = self._store.find_message(source.channel_id, source.ts)
        if found is None or found.request_id != request_id:
            raise errors.NotAllowed(
                "That button is not in a message I posted for this request, so nothing was decided. "
                "Use the card in the approval channel."
            )

    def _check_reviewer(
        self,
        story: model.Story,
        reviewer: model.Person,
        answer: model.Answer,
        directory: context.Directory,
        *,
        fresh: bool = True,
    ) -> int:
        """Raise unless this person may give this answer now; how many approvals it takes."""
        catalog, request = self._catalog(), story.request
        shut = policy.closed(catalog, request.target)
        if shut is not None and answer is model.Answer.APPROVE:
            raise errors.NotAllowed(shut)
        facts = context.collect(
            directory, catalog, request.requester_id, request.entitlement, fresh=fresh
        )
        reason = policy.may_review(reviewer, story, catalog, facts)
        if reason is not None and not self._may_void(request, reviewer):
            raise errors.NotAllowed(reason)
        if answer is model.Answer.APPROVE:
            _check_requester(facts.requester)
        self._check_distinct(story, reviewer)
        wanted = catalog.entitlements.get(request.entitlement)
        return max(request.needs, catalog.rule_of(wanted).needs) if wanted else request.needs

    def _check_distinct(self, story: model.Story, reviewer: model.Person) -> None:
        """One person counts once, whatever account they press with."""
        settled.ensure_first(story, self._clock.now(), reviewer.id)
        for review in story.reviews:
            if self._directory.person(review.reviewer_id).same_as(reviewer):
                raise errors.NotAllowed("You have already answered under another account.")

    def _may_void(self, request: model.AccessRequest, reviewer: model.Person) -> bool:
        """Whether this is a former approver of something no longer offered: nothing can be granted."""
        gone = request.entitlement not in self._catalog().entitlements
        return gone and reviewer.refusal is None and reviewer.id in request.approvers

    def _decide(
        self,
        request_id: str,
        reviewer: model.Person,
        answer: model.Answer,
        comment: str,
        needs: int,
    ) -> None:
        """Record the review and what follows from it; or that the time or the scope has gone."""
        with self._store.begin(_actor(reviewer)) as tx:
            story = tx.story(request_id)  # from here on nobody else can decide
            settled.ensure_first(story, tx.at, reviewer.id)
            change = self._change(story.request) if answer is model.Answer.APPROVE else None
            if change is not None:
                outcome.supersede(tx, story.request, change)
            else:
                outcome.answer(tx, story, reviewer, answer, comment, needs)
            faults.checkpoint("decision-uncommitted")
        if change is not None:
            self._wake()
            raise errors.TooLate(settled.superseded(change))

    def _change(self, request: model.AccessRequest) -> str | None:
        """What differs between what was asked for and what the catalog would give now."""
        offered = self._catalog().entitlements.get(request.entitlement)
        asked = catalogs.scope_from_json(request.scope)
        if offered is None:
            return catalogs.changes(asked, None)
        try:
            if catalogs.scope_hash(offered, request.tables) == request.scope_hash:
                return None
            return catalogs.changes(asked, catalogs.scope_of(offered, request.tables))
        except errors.InvalidDraft as gone:
            return str(gone).rstrip(".")

    def _lapse(self, request: model.AccessRequest) -> None:
        with self._store.begin(store.SYSTEM) as tx:
            outcome.lapse(tx, request)


def _check_requester(requester: model.Person | None) -> None:
    """Doubt about the person who would hold it refuses."""
    if requester is None:
        raise errors.IdentityUnknown
    if requester.refusal is not None:
        raise errors.NotAllowed(
            f"{requester.name} may no longer hold access: {requester.refusal.value} cannot."
        )


def _same(scope_hash: str, waiting: Sequence[model.AccessRequest]) -> model.AccessRequest | None:
    """What already waits for the same access, however long and why it was asked for."""
    return next((each for each in waiting if each.scope_hash == scope_hash), None)


def _check_limits(request: model.AccessRequest, waiting: Sequence[model.AccessRequest]) -> None:
    """Refuse what floods approvers: too much at a time, or the same again."""
    same = _same(request.scope_hash, waiting)
    if same is not None and request.verdict is model.Verdict.NEEDS_APPROVAL:
        raise errors.AlreadyAsked(same.id)
    if len(waiting) >= MOST_PENDING:
        raise errors.NotAllowed(
            f"You have {len(waiting)} requests waiting. Withdraw one, or wait for a decision."
        )


def _holds(record: store.Store | store.Transaction, person_id: str) -> tuple[model.Story, ...]:
    """What this person holds or is being granted."""
    live = record.grants(status=model.LIVE_GRANT, requester_id=person_id)
    return tuple(record.story(grant.id) for grant in live)


def _actor(person: model.Person) -> store.Actor:
    return store.Actor(kind="user", id=person.id, name=person.name)
