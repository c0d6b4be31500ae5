"""What no single key can tell: names that lead nowhere, rules that nobody can satisfy."""

import difflib
from collections import Counter
from collections.abc import Collection

from bot.catalog import duration, reference, schema, source, ticket
from db_grants.spec import Privilege


def check(shape: schema.CatalogShape, read: source.Source) -> None:
    """Note every problem between the parts of the file with `read`."""
    for name, rule in shape.rules.items():
        _rule(name, rule, read)
    for name, entitlement in shape.entitlements.items():
        _entitlement(name, entitlement, shape, read)
    _names(shape, read)


def _rule(name: str, rule: schema.RuleShape, read: source.Source) -> None:
    spot = ("rules", name)
    if not rule.approvers and rule.auto_approve_up_to is None:
        read.complain(spot, f"rule {name} names no approvers and approves nothing by itself")
    people = _plain(rule.approvers)
    if rule.approvers and people is not None and len(people) < rule.needs:
        there = f"only {len(people)} can ever approve" if len(people) > 1 else "only one ever can"
        read.complain((*spot, "needs"), f"rule {name} needs {rule.needs} people, but {there}")


def _entitlement(
    name: str, entitlement: schema.EntitlementShape, shape: schema.CatalogShape, read: source.Source
) -> None:
    spot = ("entitlements", name)
    _leads(entitlement.target, shape.targets, (*spot, "target"), "target", read)
    _leads(entitlement.approval, shape.rules, (*spot, "approval"), "rule", read)
    _durations(entitlement, spot, read)
    _tables(entitlement, spot, read)
    _ticket(entitlement, spot, read)
    if rule := shape.rules.get(entitlement.approval):
        _reachable(name, entitlement, rule, read)


def _leads(
    name: str, known: Collection[str], spot: source.Spot, noun: str, read: source.Source
) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
    read.complain(spot, f"there is no {noun} `{name}`; {hint}")


def _durations(
    entitlement: schema.EntitlementShape, spot: source.Spot, read: source.Source
) -> None:
    asked = "default_duration" in entitlement.model_fields_set
    if asked and entitlement.default_duration > entitlement.max_duration:
        longest = duration.words(entitlement.max_duration)
        read.complain(
            (*spot, "default_duration"),
            f"the default duration is longer than the maximum, {longest}",
        )


def _tables(entitlement: schema.EntitlementShape, spot: source.Spot, read: source.Source) -> None:
    spelled: dict[str, tuple[str, str]] = {}
    seen: set[tuple[object, ...]] = set()
    for index, item in enumerate(entitlement.scope):
        here = (*spot, "scope", index)
        label = ".".join(item.table)
        if spelled.setdefault(label, item.table) != item.table:
            read.complain(here, f"two tables would both be shown as {label}; give one a view")
        atom = (item.table, tuple(item.columns or ()), item.can)
        if atom in seen:
            read.complain(here, f"{label} stands here twice with the same privileges")
        seen.add(atom)
        _columns(item, (*here, "columns"), read)


def _columns(item: schema.TableShape, spot: source.Spot, read: source.Source) -> None:
    if not item.columns:
        return
    for name, count in Counter(item.columns).items():
        if count > 1:
            read.complain(spot, f"column {name} is named twice")
    if Privilege.DELETE in item.can:
        read.complain(
            spot, "delete takes whole rows and cannot be limited to columns; "
            "write can: [insert, update], or leave the columns out"
        )  # fmt: skip


def _ticket(entitlement: schema.EntitlementShape, spot: source.Spot, read: source.Source) -> None:
    example = entitlement.ticket_example
    if example is None:
        return
    if entitlement.ticket is None:
        read.complain(
            (*spot, "ticket_example"), "an example of a ticket, but no ticket is asked for"
        )
    elif ticket.find(entitlement.ticket, example) != example:
        read.complain(
            (*spot, "ticket_example"), f"the example {example} does not match the pattern"
        )


def _reachable(
    name: str, entitlement: schema.EntitlementShape, rule: schema.RuleShape, read: source.Source
) -> None:
    """A dead end that is certain without asking Slack: only plain accounts on both sides."""
    alone = rule.auto_approve_up_to
    if alone is not None and alone >= entitlement.max_duration:
        return
    if not rule.approvers:
        longest = duration.words(alone) if alone else "nothing"
        read.complain(
            ("entitlements", name, "approval"),
            f"rule {entitlement.approval} approves up to {longest} and names nobody for longer; "
            f"lower max_duration of {name} or name approvers",
        )
        return
    approvers, requesters = _plain(rule.approvers), _plain(entitlement.requesters)
    if approvers is None or requesters is None or len(approvers) < rule.needs:
        return
    if all(len(approvers - {who}) < rule.needs for who in requesters):
        read.complain(
            ("entitlements", name, "approval"),
            f"nobody else can approve {name}: whoever may request it counts among the "
            f"{rule.needs} that rule {entitlement.approval} needs",
        )


def _plain(refs: Collection[str]) -> set[str] | None:
    """The people named, when every reference is one account; None when only Slack can tell."""
    if all(reference.kind(ref) in reference.PLAIN for ref in refs):
        return set(refs)
    return None


def _names(shape: schema.CatalogShape, read: source.Source) -> None:
    """People type these names: capitals alone must not tell two apart."""
    for section in ("targets", "entitlements", "rules"):
        first: dict[str, str] = {}
        for name in getattr(shape, section):
            other = first.setdefault(name.casefold(), name)
            if other != name:
                read.complain((section, name), f"{name} and {other} differ in capitals only")
