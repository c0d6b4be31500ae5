"""What the histories remember of what they saw, and what must hold besides I1 to I8.

The record is compared with a target by `proof`. Here the present is compared with the past: with the
catalog that was in force when somebody decided, with the deadline that a role had when its grant
became active, and with the record that there was before an older one was put back.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import psycopg

from bot import catalog, model, retry
from bot.comparing import reconcile
from bot.ending import phases
from proof import invariants, reality
from tests.real_world import RealWorld

_DEADLINES = """
SELECT rolname, rolvaliduntil FROM pg_roles
 WHERE rolname ~ '^jit_[0-9a-z]{8}$' AND isfinite(rolvaliduntil)
"""
_FOUND_WITHIN = reconcile.EVERY + invariants.LIMIT  # by a reconciler that can look


class Memory:
    """Of one history."""

    def __init__(self, world: RealWorld) -> None:
        self.world = world
        self._began = world.clock.now() - retry.LONGEST
        self._hindered: dict[str, datetime] = {}  # when a grant last could not be ended
        self.deadlines: dict[str, datetime] = {}  # by grant, the first it had when active
        self.blind_at = world.clock.now()  # when the reconciler last could not look
        self.mild = False  # whether the record was changed behind the bot's back
        self._judged: set[tuple[str, str]] = set()  # reviews, and requests as ("", id)
        self._strays: set[str] = set()  # grants whose roles a record that was put back may not know
        self._gone: set[str] = set()  # grants that it takes for active, and whose roles are gone

    def look(self) -> reality.Target:
        """The target as it should be judged: without what is excused for now."""
        self._note_blindness()
        target = self.world.target()
        self._note_deadlines(target)
        roles = tuple(role for role in target.managed if not self._excused(role))
        return replace(target, managed=(*roles, *self._missed(roles)))

    def check(self, record: reality.Record, target: reality.Target) -> None:
        """Raise AssertionError that tells every violation of what must hold besides I1 to I8."""
        late = self._late(record, target)
        wrong = [*late, *self._outlived(target), *self._unfounded(record)]
        assert not wrong, f"{len(wrong)} violations:\n" + "\n".join(wrong)

    def put_back(self) -> None:
        """Another record is there from now on; nothing was done by it yet."""
        self.mild, self.blind_at = True, self.world.clock.now()
        there = {_id(role) for role in self.world.target().managed}
        active = self.world.store.grants(status={model.GrantStatus.ACTIVE})
        self._strays |= there
        self._gone = {grant.id for grant in active} - there
        for grant in self.world.store.grants(status={model.GrantStatus.ACTIVATING}):
            self.deadlines.pop(grant.id, None)

    def _note_blindness(self) -> None:
        if not any(replica.sees("shop") for replica in self.world.replicas):
            self.blind_at = self.world.clock.now()
        self.blind_at = max(self.blind_at, self._failed_at())

    def _note_deadlines(self, target: reality.Target) -> None:
        if not target.managed:
            return
        with psycopg.connect(self.world.shop.admin_url) as admin:
            found = admin.execute(_DEADLINES).fetchall()
        for name, until in found:
            grant = self.world.store.find_grant(name.removeprefix("jit_"))
            making = grant is None or grant.status is model.GrantStatus.ACTIVATING
            known = None if making else self.deadlines.get(name.removeprefix("jit_"))
            self.deadlines[name.removeprefix("jit_")] = min(until, known or until)

    def _excused(self, role: reality.Role) -> bool:
        """Whether nobody but the reconciler can end it, and it still has time for that."""
        grant = self.world.store.find_grant(_id(role))
        if _id(role) not in self._strays or (grant and grant.status in model.LIVE_GRANT):
            return False
        since = self.deadlines.get(_id(role), self.blind_at)
        if grant is not None and grant.cleaned_up_at is not None:
            since = max(since, grant.cleaned_up_at)
        return self.world.clock.now() <= max(since, self.blind_at) + _FOUND_WITHIN

    def _missed(self, roles: tuple[reality.Role, ...]) -> Iterator[reality.Role]:
        """In place of what was removed by what the record forgot: a role that can do nothing."""
        for id_ in self._gone - {_id(role) for role in roles}:
            grant = self.world.store.find_grant(id_)
            if grant is not None and grant.status is model.GrantStatus.ACTIVE:
                yield reality.Role(name=grant.role_name, oid=grant.role_oid or 0, can_login=False)

    def _late(self, record: reality.Record, target: reality.Target) -> Iterator[str]:
        """No alarm excuses access past its deadline once nothing stands in the way of its end."""
        now, roles = self.world.clock.now(), {_id(role): role for role in target.managed}
        for grant in record.grants.values():
            if not all(replica.reaches(grant) for replica in self.world.replicas):
                self._hindered[grant.id] = now
            hindered = max(self._failed_at(), self._hindered.get(grant.id, self._began))
            by = max(phases.due_since(grant) + phases.CLOSED_WITHIN, hindered + retry.LONGEST)
            role = roles.get(grant.id)
            live = grant.activated_at and grant.status in model.LIVE_GRANT
            if live and by < now and role and (role.can_login or role.sessions):
                yield f"{role.name} can still be used; it should have ended by {by}"

    def _failed_at(self) -> datetime:
        return max(replica.link.failed_at for replica in self.world.replicas)

    def _outlived(self, target: reality.Target) -> Iterator[str]:
        """Whatever the record says by now: no access beyond the deadline that it was given."""
        now = self.world.clock.now()
        for role in target.managed:
            until = self.deadlines.get(_id(role))
            over = until and max(until, self.blind_at) + _FOUND_WITHIN < now
            if over and (role.can_login or role.sessions) and not self._given_up(role):
                yield f"{role.name} can still be used, and its deadline was {until}"

    def _given_up(self, role: reality.Role) -> bool:
        """Whether it was made, nobody ever heard so, and that it is to end was noticed just now."""
        grant = self.world.store.find_grant(_id(role))
        if grant is None or grant.activated_at is not None or grant.revoking_since is None:
            return False
        return self.world.clock.now() <= grant.revoking_since + phases.CLOSED_WITHIN

    def _unfounded(self, record: reality.Record) -> Iterator[str]:
        """What was decided since the last look was decided by the catalog that is in force."""
        seen: set[tuple[str, str]] = set()
        for story in record.stories:
            request = story.request
            new = [r for r in story.reviews if (request.id, r.reviewer_id) not in self._judged]
            seen |= {(request.id, review.reviewer_id) for review in story.reviews}
            approved = request.status is model.RequestStatus.APPROVED
            seen |= {("", request.id)} if approved else set()
            new = [review for review in new if review.answer is model.Answer.APPROVE]
            if new or (approved and ("", request.id) not in self._judged):
                yield from self._founded(story, new, approved=approved)
        self._judged = seen

    def _founded(
        self, story: model.Story, new: list[model.Review], *, approved: bool
    ) -> Iterator[str]:
        request, now = story.request, self.world.catalog
        wanted = now.entitlements.get(request.entitlement)
        if wanted is None or now.unusable or request.target in now.lost:
            yield f"{request.id} was approved, and {request.entitlement} is not to be had"
            return
        if catalog.scope_hash(wanted, request.tables) != request.scope_hash:
            yield f"{request.id} was approved, and {request.entitlement} is something else by now"
        rule = now.rule_of(wanted)
        may = {who for ref in rule.approvers for who in self.world.directory.groups.get(ref, ())}
        for review in new:
            if review.reviewer_id not in may:
                yield f"{request.id} was approved by {review.reviewer_name}, who {rule.name} omits"
        people = {r.reviewer_id for r in story.reviews if r.answer is model.Answer.APPROVE}
        alone = rule.auto_approve_up_to is not None and request.duration <= rule.auto_approve_up_to
        if approved and len(people) < rule.needs and not (alone and not people):
            yield f"{request.id} has {len(people)} approvals, and {rule.name} asks for {rule.needs}"


def _id(role: reality.Role) -> str:
    return role.name.removeprefix("jit_")
