"""What people and operators do with a grant: open credentials, give back, revoke, stop, shorten.

How a grant comes to be and how it ends is in `granting` and `ending`; everywhere the same order:
the intent is recorded, the thing is done, it is verified, the result is recorded, and what is said
in Slack is written with that record. Doubt refuses a grant; it never stops an end.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, faults, model, store, work
from bot.deciding import context, policy, refusal, settled
from bot.ending import attempts, lastknown, phases, unrecorded
from bot.granting import activation, claims, deadlines, places, skew
from bot.telling import notices, outcry
from bot.watching import alarms
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

_ACTIVE = model.GrantStatus.ACTIVE


class Grants:
    """The use cases of a grant.

    `wake` is called after each commit that leaves something to do or to say.
    """

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        clock: clocks.Clock,
        strays: Mapping[str, engines_.Engine] | None = None,
        wake: Callable[[], None] = lambda: None,
        cry: outcry.Outcry | None = None,
        rush: work.Rush | None = None,
    ) -> None:
        """`engines`: by target; `strays`: by grant, see `places`."""
        targets, engines = engines, {**engines, **(strays or {})}
        self._store = store
        self._engines = engines
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._wake = wake
        self.claims = claims.Claims(store=store)
        self.outcry = cry or outcry.Outcry(clock=clock)
        self.skew = skew.Skew(store=store, engines=targets, clock=clock)
        self._activation = activation.Activation(
            store=store,
            engines=engines,
            clock=clock,
            wake=wake,
            skew=self.skew,
            claimed=self.claims,
        )
        self._ending = phases.Ending(
            store=store,
            engines=engines,
            clock=clock,
            wake=wake,
            claimed=self.claims,
            rush=rush or work.Rush(),
            unrecorded=self.outcry.about_ends,
        )
        self._unrecorded = unrecorded.Unrecorded(
            kept=store,
            end=self._ending,
            cry=self.outcry,
            reaches=lambda grant: places.reached(engines, grant),
        )
        self.deadlines = deadlines.Deadlines(store=store, engines=engines, clock=clock)
        self.alarms = alarms.Alarms(
            store=store,
            engines=engines,
            catalog=catalog,
            directory=directory,
            clock=clock,
            wake=wake,
        )

    def activate(self, grant_id: str) -> model.Grant:
        """One attempt to make the access real. A target's failure is recorded, not raised."""
        return self._activation.attempt(grant_id)

    def begin_due(
        self, begun: Callable[[Collection[str]], None] = lambda _targets: None
    ) -> tuple[store.Door, ...]:
        """Record every end that is due, or was wanted; returns those whose doors to shut without.

        `begun` is told the targets on which ends were begun, batch by batch.
        """
        wanted = map(lastknown.door, self._unrecorded.record())
        return (*wanted, *self._ending.begin_due(begun))

    def judge_leap(self) -> None:
        """End what two clocks out of three say is over, while the machine's is doubted."""
        for grant in self.skew.settle():
            with contextlib.suppress(errors.Conflict):  # somebody else ended it in this instant
                self._ending.begin(grant, model.EndCause.DEADLINE)

    def shut(self, grant_id: str) -> None:
        """End the access of a grant whose end cannot be recorded just now."""
        self._unrecorded.shut(grant_id)

    def shut_due(self, target: str) -> None:
        """The same for every grant on that target that is over by what is remembered, or wanted so."""
        for grant_id in self._unrecorded.open_on(target):
            self._unrecorded.shut(grant_id)
        self._ending.closing.shut_due(target)

    def close(self, grant_id: str) -> model.Grant:
        """First phase of an end, one attempt: no login, no session."""
        return self._ending.closing.attempt(grant_id)

    def close_some(self, target: str, taken: attempts.Taken = attempts.alone) -> int:
        """The same for a batch of what waits on that target; of how many there is news now.

        `taken` is told before of how many it is going to be.
        """
        return self._ending.closing.attempt_some(target, taken)

    def clean(self, grant_id: str) -> model.Grant:
        """Second phase, one attempt: what was done is read, the role removed and proven gone."""
        return self._ending.cleaning.attempt(grant_id)

    def clean_some(self, target: str, taken: attempts.Taken = attempts.alone) -> int:
        """The same for a batch, as `close_some`."""
        return self._ending.cleaning.attempt_some(target, taken)

    def end(self, grant_id: str) -> model.Grant:
        """Both phases, one attempt each."""
        self.close(grant_id)
        return self.clean(grant_id)

    def watch(self) -> None:
        """Raise, repeat and end the alarms about what needs a person."""
        self.alarms.watch()

    def reveal(self, grant_id: str, person_id: str) -> spec.Credential:
        """A fresh password, for the requester alone; nothing keeps it.

        Raises NotFound, NotAllowed, TooLate; Busy when the target does not answer.
        """
        request, grant = self._store.pair(grant_id)
        actor = store.Actor(kind="user", id=person_id, name=request.requester_name)
        with refusal.recorded(self._store, actor, grant_id, "reveal"):
            self._check_reveal(request, grant, person_id)
            return self._reveal(request, grant, actor)

    def give_back(self, grant_id: str, person_id: str) -> model.Story:
        """The requester is done. Raises NotFound, NotAllowed, TooLate."""
        story = self._story(grant_id)
        actor = store.Actor(kind="user", id=person_id, name=story.request.requester_name)
        with refusal.recorded(self._store, actor, grant_id, "return"):
            if story.request.requester_id != person_id:
                raise errors.NotAllowed("Only its holder can give this back.")
            self._end_by(grant_id, actor, model.EndCause.RETURNED)
        return self._store.story(grant_id)

    def revoke(self, grant_id: str, person_id: str, comment: str = "") -> model.Story:
        """An approver of its rule (or its holder) ends it. Raises NotFound, NotAllowed, TooLate."""
        story = self._story(grant_id)
        if person_id == story.request.requester_id:
            return self.give_back(grant_id, person_id)
        actor = self._allowed_to_end(story, person_id, "revoke")
        with refusal.recorded(self._store, actor, grant_id, "revoke"):
            self._end_by(grant_id, actor, model.EndCause.REVOKED, comment.strip())
        return self._store.story(grant_id)

    def stop_trying(self, grant_id: str, person_id: str) -> model.Story:
        """Give up an activation. Raises NotFound, NotAllowed, TooLate."""
        story = self._story(grant_id)
        actor = self._allowed_to_end(story, person_id, "stop")
        with refusal.recorded(self._store, actor, grant_id, "stop"):
            grant = _grant_of(self._store.story(grant_id))
            if grant.status is not model.GrantStatus.ACTIVATING:
                told = settled.ended(grant, self._now(), person_id)
                raise errors.TooLate(_no_longer_activating(grant, told))
            self._end_by(grant_id, actor, model.EndCause.STOPPED)
        return self._store.story(grant_id)

    def revoke_as_operator(self, grant_id: str, login: str, comment: str = "") -> model.Grant:
        """Record an end from the command line; a running service notices at once and does it.

        Needs no engine. Raises NotFound, TooLate.
        """
        actor = store.Actor(kind="operator", id=login, name=login)
        return self._end_by(grant_id, actor, model.EndCause.OPERATOR, comment)

    def revoke_all_as_operator(self, login: str, comment: str = "") -> Iterator[tuple[str, ...]]:
        """The same for every grant there is, a batch at a time; the ids of each."""
        actor = store.Actor(kind="operator", id=login, name=login)
        return self._ending.begin_all(model.EndCause.OPERATOR, actor, comment)

    def shorten(self, grant_id: str, left: timedelta, login: str) -> model.Grant:
        """Bring the deadline nearer, never later. Raises NotFound, TooLate, NotAllowed."""
        grant = self._grant(grant_id)
        if grant.status is not _ACTIVE:
            raise errors.TooLate(f"Grant {grant_id} is not active.")
        expires_at = self._now() + max(left, timedelta(0))
        if expires_at >= grant.expires_at:
            raise errors.NotAllowed(f"Grant {grant_id} ends earlier than that already.")
        actor = store.Actor(kind="operator", id=login, name=login)
        return self._shorten(grant, expires_at, actor)

    def _now(self) -> datetime:
        return self._clock.now()

    def _story(self, grant_id: str) -> model.Story:
        story = self._store.story(grant_id)
        _grant_of(story)
        return story

    def _grant(self, grant_id: str) -> model.Grant:
        grant = self._store.find_grant(grant_id)
        if grant is None:
            raise errors.NotFound(f"There is no grant {grant_id}.")
        return grant

    def _check_reveal(
        self, request: model.AccessRequest, grant: model.Grant, person_id: str
    ) -> None:
        if request.requester_id != person_id:
            raise errors.NotAllowed(f"Only {request.requester_name} can open these credentials.")
        person = self._directory.person(person_id)
        if person.refusal is not None:
            raise errors.NotAllowed(f"{person.refusal.value.capitalize()} cannot hold access.")
        if grant.status is model.GrantStatus.ACTIVATING:
            raise errors.TooLate("This is still being granted. Try again in a moment.")
        if grant.status is not _ACTIVE or self._now() >= grant.expires_at:
            raise errors.TooLate(settled.ended(grant, self._now(), person_id))

    def _reveal(
        self, request: model.AccessRequest, grant: model.Grant, actor: store.Actor
    ) -> spec.Credential:
        engine = places.engine_of(self._engines, grant)
        if engine is None or grant.role_oid is None:
            raise errors.Busy(_unreachable(grant))
        role = spec.ManagedRole(grant_id=grant.id, name=grant.role_name, oid=grant.role_oid)
        database = catalogs.database_of(request.scope)
        self._note_reveal(grant, actor)
        faults.checkpoint("reveal-recorded")
        try:
            credential = engine.reveal(role, grant.expires_at, database)
        except target_errors.RoleMissing:
            raise errors.TooLate(
                f"The role of this grant is no longer in {grant.target}. Ask for access again."
            ) from None
        except target_errors.DbGrantsError as error:
            _log.warning("reveal_failed", grant=grant.id, target=grant.target, why=str(error))
            self._note_unrevealed(grant, actor, str(error))
            raise errors.Busy(_unreachable(grant)) from None
        faults.checkpoint("revealed")
        return credential

    def _note_reveal(self, grant: model.Grant, actor: store.Actor) -> None:
        try:
            with self._store.begin(actor) as tx:
                tx.note_reveal(grant)
        except errors.Conflict:
            raise errors.TooLate(settled.ended(self._store.grant(grant.id), self._now())) from None

    def _note_unrevealed(self, grant: model.Grant, actor: store.Actor, why: str) -> None:
        """That nothing was shown after all; a record that cannot be written just now lacks it."""
        with (
            contextlib.suppress(errors.Busy, errors.StoreError),
            self._store.begin(actor) as tx,
        ):
            tx.record("credential.not_revealed", grant.id, {"why": why})

    def _allowed_to_end(self, story: model.Story, person_id: str, act: str) -> store.Actor:
        """Who is ending it, if they may. Raises NotAllowed, which is recorded."""
        request, catalog = story.request, self._catalog()
        person = self._known_person(request, person_id)
        actor = store.Actor(kind="user", id=person_id, name=person.name)
        with refusal.recorded(self._store, actor, request.id, act):
            facts = context.collect(
                self._directory, catalog, request.requester_id, request.entitlement
            )
            reason = policy.may_revoke(person, story, catalog, facts)
            if reason is not None:
                raise errors.NotAllowed(reason)
        return actor

    def _known_person(self, request: model.AccessRequest, person_id: str) -> model.Person:
        """Who Slack says they are; for ending access its silence does not stand in the way."""
        try:
            return self._directory.person(person_id)
        except errors.IdentityUnknown:
            return model.Person(id=person_id, team_id=request.team_id, name=person_id)

    def _end_by(
        self, grant_id: str, actor: store.Actor, cause: model.EndCause, comment: str = ""
    ) -> model.Grant:
        """Begin the end, whatever the grant is just turning into. Raises TooLate; Busy when it was
        ended and could not be recorded.
        """
        while True:
            grant = self._grant(grant_id)
            if grant.status not in phases.MAY_BE_ENDED:
                raise errors.TooLate(settled.ended(grant, self._now(), actor.id))
            try:
                with self._unrecorded.done_all_the_same(grant, cause, actor, comment):
                    return self._ending.begin(grant, cause, actor, comment)
            except errors.Conflict:  # it moved on; look again (statuses only go forward)
                continue

    def _shorten(self, grant: model.Grant, expires_at: datetime, actor: store.Actor) -> model.Grant:
        with self._store.begin(actor) as tx:
            shorter = tx.note_grant(
                grant.id, _ACTIVE, event="grant.shortened", expires_at=expires_at
            )
            deadlines.note_behind(tx, shorter)
            notices.redraw(tx, grant.id, notices.Kind.LIVE)
            notices.home(tx, grant.requester_id)
        self._wake()
        return shorter


def _grant_of(story: model.Story) -> model.Grant:
    if story.grant is None:
        raise errors.NotFound(f"There is no grant {story.request.id}.")
    return story.grant


def _no_longer_activating(grant: model.Grant, ended: str) -> str:
    if grant.status is _ACTIVE:
        return "It is active by now. Revoke it to end it."
    return ended


def _unreachable(grant: model.Grant) -> str:
    return f"{grant.target} does not answer just now. Nothing was shown; try again in a moment."
