"""What belongs around a story when it is drawn, and what concerns one person. Reads, never writes."""

import itertools
from collections.abc import Callable, Iterable
from datetime import timedelta

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, store
from bot.asking import access
from bot.audit import summary
from bot.deciding import context, policy
from bot.slack import home, identity, words
from bot.telling import render

HISTORY = timedelta(days=30)
_OVER = frozenset({words.State.ENDED, words.State.CLEANING})
_MOST = 50
_LOOK = 200  # requests that wait, looked at first; live grants that the record tells of
_WIDER = 10  # times as many, when the first did not do


class Scene:
    """The record, the catalog and the directory, looked at for one message or one person."""

    def __init__(
        self,
        *,
        store: store.Store,
        access: access.Access,
        directory: identity.Directory,
        catalog: Callable[[], catalogs.Catalog],
        clock: clocks.Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._directory = directory
        self._catalog = catalog
        self._clock = clock

    def plain(self) -> words.Around:
        """Names and the time, for lists of several stories."""
        return words.Around(now=self._clock.now(), names=self._directory.name)

    def around(self, story: model.Story) -> words.Around:
        """Everything the card of this story shows besides it."""
        request, now = story.request, self._clock.now()
        granted, unused = self._store.history(
            request.requester_id, request.entitlement, now - HISTORY
        )
        live = self._store.grants(status=model.LIVE_GRANT, requester_id=request.requester_id)
        offered = self._catalog().entitlements.get(request.entitlement)
        return words.Around(
            now=now,
            names=self._directory.name,
            granted=granted,
            unused=unused,
            others=sum(grant.id != request.id for grant in live),
            sensitivity=offered.sensitivity if offered else "",
            used=used(story),
        )

    def mine(self, user_id: str) -> home.Mine:
        """What concerns this person now. Raises IdentityUnknown, NotFound."""
        person = self._directory.person(user_id)
        own = self._store.grants(status=model.LIVE_GRANT, requester_id=user_id)
        others = self._others(user_id)
        asked = self._store.requests(requester_id=user_id, limit=home.MOST + 1)
        return home.Mine(
            person=person,
            holding=self._stories(g.id for g in sorted(own, key=lambda g: g.expires_at)),
            waiting=self._stories(self._waiting(user_id)),
            watching=self._watched(others, person),
            asked=self._stories(request.id for request in asked),
            offered=self._offered(user_id),
        )

    def _waiting(self, user_id: str) -> list[str]:
        """Requests they may decide, oldest first: looked for behind however many wait for others."""
        look = _LOOK
        while True:
            found = self._store.pending(limit=look)
            theirs = [request.id for request in found if user_id in request.approvers]
            if len(found) < look or len(theirs) >= _MOST:
                return theirs
            look *= _WIDER

    def _others(self, user_id: str) -> list[model.Grant]:
        """Live grants of others among which are those that this person may end, newest first.

        Of what they can decide now all are looked up; of what they could decide only when it was asked
        for, those among the latest.
        """
        latest = self._store.grants(status=model.LIVE_GRANT)
        others = [grant for grant in latest if grant.requester_id != user_id]
        if len(latest) < _LOOK:
            return others
        found = self._store.live_of(self._decided(user_id), but=user_id, limit=_MOST + 1)
        known = {grant.id: grant for grant in (*found, *others)}
        return sorted(known.values(), key=lambda grant: grant.created_at, reverse=True)

    def _decided(self, user_id: str) -> list[str]:
        """What this person is among the approvers of."""
        catalog = self._catalog()
        rules = {
            name
            for name, rule in catalog.rules.items()
            if any(user_id in (self._directory.members(ref) or ()) for ref in rule.approvers)
        }
        return [e.name for e in catalog.entitlements.values() if e.approval in rules]

    def may_end(self, story: model.Story, person: model.Person) -> bool:
        """Whether this person may end it: what nobody had to decide, those who could have may end."""
        request, catalog = story.request, self._catalog()
        facts = context.collect(
            self._directory, catalog, request.requester_id, request.entitlement, fresh=False
        )
        return policy.may_revoke(person, story, catalog, facts) is None

    def _watched(self, grants: Iterable[model.Grant], person: model.Person) -> list[model.Story]:
        stories = self._store.stories([grant.id for grant in grants])
        return list(itertools.islice((s for s in stories if self.may_end(s, person)), _MOST))

    def _offered(self, user_id: str) -> tuple[catalogs.Entitlement, ...]:
        try:
            return self._access.offered(user_id)
        except errors.UserError:
            return ()

    def _stories(self, ids: Iterable[str]) -> list[model.Story]:
        """In the order given."""
        some = list(ids)[:_MOST]
        found = {story.request.id: story for story in self._store.stories(some)}
        return [found[each] for each in some if each in found]


def used(story: model.Story) -> str:
    """`used 11 of 30 min`, once it is over and known."""
    if story.grant is None or words.state(story) not in _OVER or story.grant.activated_at is None:
        return ""
    found = summary.summarise(story)
    if found.never_used:
        return "never used"
    if found.used is None or found.granted is None:
        return ""
    of = render.duration(story.request.duration)
    spent = render.about(found.used)
    (number, _, unit), (_, _, other) = spent.partition(" "), of.partition(" ")
    return f"used {number if unit == other else spent} of {of}"
