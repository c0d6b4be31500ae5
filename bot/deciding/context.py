"""Collects the facts that policy decides on. What Slack does not tell stays unknown."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from bot import catalog as catalogs
from bot import errors, model
from bot.catalog import reference
from bot.model import Facts

_LOOKED_UP_AT_MOST = 50  # people; beyond, candidates are judged at their click alone


class Directory(Protocol):
    """Who people are, and who belongs where, according to Slack."""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:
        """The account. `fresh` reads it now. Raises NotFound; IdentityUnknown without an answer."""

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:
        """Ids of those a catalog reference names; None when Slack does not tell."""

    def resolve_channel(self, ref: str) -> str | None:
        """The id of a channel given by `#name` or id; None when there is none we can see."""

    def reason(self, ref: str) -> str | None:
        """Why the last answer about `ref` was None, in a sentence for an operator."""


class Asked:
    """A directory of which all that a decision needs has been asked at once, and afresh.

    Slack takes a tenth of a second for an answer, and whoever decides waits for several.
    """

    def __init__(self, directory: Directory, people: Iterable[str], refs: Iterable[str]) -> None:
        self._directory = directory
        self._people: dict[str, Future[model.Person]] = {
            who: _ask(lambda who=who: directory.person(who, fresh=True))  # type: ignore[misc]
            for who in dict.fromkeys(people)
        }
        self._refs: dict[str, Future[frozenset[str] | None]] = {
            ref: _ask(lambda ref=ref: directory.members(ref, fresh=True))  # type: ignore[misc]
            for ref in dict.fromkeys(refs)
            if reference.kind(ref) not in (reference.Kind.ACCOUNT, reference.Kind.EVERYONE)
        }

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:
        """As Directory: what was asked for, or else what the directory says."""
        if (answer := self._people.get(user_id)) is None:
            return self._directory.person(user_id, fresh=fresh)
        return answer.result()

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:
        """As Directory: what was asked for, or else what the directory says."""
        if (answer := self._refs.get(ref)) is None:
            return self._directory.members(ref, fresh=fresh)
        return answer.result()

    def resolve_channel(self, ref: str) -> str | None:
        """As Directory."""
        return self._directory.resolve_channel(ref)

    def reason(self, ref: str) -> str | None:
        """As Directory."""
        return self._directory.reason(ref)


def ask(
    directory: Directory, catalog: catalogs.Catalog, entitlement: str, *people: str
) -> Directory:
    """Ask for these people, and for all whom the entitlement and its rule name, at the same time."""
    one = catalog.entitlements.get(entitlement)
    refs = (*one.requesters, *catalog.rule_of(one).approvers) if one else ()
    return Asked(directory, people, refs)


def _ask(read: Callable[[], Any]) -> "Future[Any]":
    """In a thread of its own, which ends with the answer; who asks bounds how long that takes."""
    answer: Future[Any] = Future()
    threading.Thread(target=_settle, args=(answer, read), name="asking", daemon=True).start()
    return answer


def _settle(answer: "Future[Any]", read: Callable[[], Any]) -> None:
    try:
        answer.set_result(read())
    except BaseException as error:  # noqa: BLE001 - carried to whoever waits for it
        answer.set_exception(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEnd:
    """A request that nobody could ever approve."""

    entitlement: str
    requester: str | None  # none: whoever asks
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def collect(
    directory: Directory,
    catalog: catalogs.Catalog,
    requester_id: str,
    entitlement: str | None = None,
    *,
    fresh: bool = False,
    holds: tuple[model.Story, ...] = (),
) -> Facts:
    """The facts about one requester and one entitlement, or about all that may be offered.

    `fresh` bypasses what is remembered, for a decision that counts. Never raises for Slack.
    """
    if fresh and entitlement is not None and not isinstance(directory, Asked):
        directory = ask(directory, catalog, entitlement, requester_id)
    requester = _person(directory, requester_id, fresh=fresh)
    one = catalog.entitlements.get(entitlement) if entitlement is not None else None
    if one is None:
        wanted = [r for e in catalog.entitlements.values() for r in e.requesters]
        members = _members(directory, wanted if entitlement is None else (), fresh=fresh)
        return Facts(requester=requester, members=members, holds=holds)
    approvers = catalog.rule_of(one).approvers
    members = _members(directory, (*one.requesters, *approvers), fresh=fresh)
    names, unfit = _candidates(directory, _united(approvers, members), requester)
    return Facts(requester=requester, members=members, names=names, unfit=unfit, holds=holds)


def dead_ends(directory: Directory, catalog: catalogs.Catalog) -> list[DeadEnd]:
    """Every entitlement, and every possible requester of it, with too few others to approve.

    References that Slack does not resolve are reported instead of what they decide about: to policy
    they name nobody, and whether anybody could approve it is not known.
    """
    found = list(_unresolved(directory, catalog))
    for entitlement in catalog.entitlements.values():
        found.extend(_dead_ends_of(entitlement, directory, catalog))
    return found


def _unresolved(directory: Directory, catalog: catalogs.Catalog) -> Iterator[DeadEnd]:
    for ref in sorted(catalog.references()):
        if directory.members(ref) is None:
            why = directory.reason(ref) or f"Slack does not tell who {ref} is."
            sentence = f"{why} Until it can be read, {ref} names nobody."
            yield DeadEnd(entitlement="", requester=None, sentence=sentence)


def _dead_ends_of(
    entitlement: catalogs.Entitlement, directory: Directory, catalog: catalogs.Catalog
) -> Iterator[DeadEnd]:
    rule = catalog.rule_of(entitlement)
    alone = rule.auto_approve_up_to
    if alone is not None and alone >= entitlement.max_duration:
        return
    members = _members(directory, (*entitlement.requesters, *rule.approvers), fresh=False)
    if any(members[ref] is None for ref in rule.approvers):
        return
    names, unfit = _candidates(directory, _united(rule.approvers, members), None)
    able = _united(rule.approvers, members) - unfit
    many = f"{rule.needs} people" if rule.needs > 1 else "one person"
    if len(able) < rule.needs:
        few = f"only {len(able)}" if able else "nobody"
        sentence = f"{entitlement.name}: rule {rule.name} needs {many}, but {few} can approve."
        yield DeadEnd(entitlement=entitlement.name, requester=None, sentence=sentence)
        return
    for who in sorted(_askers(entitlement, members, able)):
        others = {x for x in able if not _one_person(directory, x, who)}
        if len(others) < rule.needs:
            name = names.get(who) or _name(directory, who)
            few = f"only {len(others)} other" if others else "nobody else"
            yield DeadEnd(
                entitlement=entitlement.name,
                requester=who,
                sentence=f"{entitlement.name}: when {name} asks, rule {rule.name} needs {many}, "
                f"but {few} can approve.",
            )


def _askers(
    entitlement: catalogs.Entitlement,
    members: dict[str, frozenset[str] | None],
    able: frozenset[str],
) -> frozenset[str]:
    """The requesters to be looked at. Of everyone, only those who approve themselves matter."""
    named = _united(entitlement.requesters, members)
    return named | able if reference.Kind.EVERYONE in entitlement.requesters else named


def _members(
    directory: Directory, refs: Iterable[str], *, fresh: bool
) -> dict[str, frozenset[str] | None]:
    return {
        ref: _read(directory, ref, fresh=fresh)
        for ref in dict.fromkeys(refs)
        if reference.kind(ref) is not reference.Kind.EVERYONE
    }


def _read(directory: Directory, ref: str, *, fresh: bool) -> frozenset[str] | None:
    if reference.kind(ref) is reference.Kind.ACCOUNT:
        return frozenset({ref})
    return directory.members(ref, fresh=fresh)


def _united(refs: Collection[str], members: dict[str, frozenset[str] | None]) -> frozenset[str]:
    return frozenset(who for ref in refs for who in members.get(ref) or ())


def _candidates(
    directory: Directory, ids: Collection[str], requester: model.Person | None
) -> tuple[dict[str, str], frozenset[str]]:
    """Names of possible approvers, and those among them who are known not to count."""
    names: dict[str, str] = {}
    unfit: set[str] = set()
    for who in sorted(ids)[:_LOOKED_UP_AT_MOST]:
        try:
            person = directory.person(who)
        except errors.NotFound:
            unfit.add(who)
            continue
        except errors.IdentityUnknown:
            continue
        names[who] = person.name
        if person.refusal is not None or (requester and person.same_as(requester)):
            unfit.add(who)
    return names, frozenset(unfit)


def _one_person(directory: Directory, one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = _person(directory, one, fresh=False), _person(directory, other, fresh=False)
    return first is not None and second is not None and first.same_as(second)


def _person(directory: Directory, user_id: str, *, fresh: bool) -> model.Person | None:
    try:
        return directory.person(user_id, fresh=fresh)
    except (errors.NotFound, errors.IdentityUnknown):
        return None


def _name(directory: Directory, user_id: str) -> str:
    person = _person(directory, user_id, fresh=False)
    return person.name if person else user_id
