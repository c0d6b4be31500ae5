"""Who asks and who decides in the benchmark, at once and for nothing: people, and a silent Slack."""

from bot import errors, model, store

TARGET, ENTITLEMENT = "bench", "read_10"
ASKS, DECIDES = "U0ANA", "U0BO"
PEOPLE = {
    each: model.Person(id=each, team_id="T0ACME", name=each, email=f"{each}@acme.test".lower())
    for each in (ASKS, DECIDES, "U0CLEO")
}


class Directory:
    """Slack's answers about people, at once."""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:  # noqa: ARG002
        if user_id not in PEOPLE:
            raise errors.NotFound
        return PEOPLE[user_id]

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:  # noqa: ARG002
        return frozenset({ref}) if ref in PEOPLE else frozenset()

    def resolve_channel(self, ref: str) -> str | None:
        return ref

    def reason(self, ref: str) -> str | None:  # noqa: ARG002
        return None


class Silent:
    """A poster whose Slack answers at once."""

    def __init__(self) -> None:
        self.said = 0

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        self.said += 1
        if row.kind != "card" or story is None or story.message("card"):
            return None
        ts = f"{1_700_000_000 + row.id}.000100"
        return model.MessageRef(
            request_id=story.request.id, kind="card", channel_id="C0ACCESS", ts=ts
        )

    def withdraw(self, message: model.MessageRef) -> None:
        """Nothing was posted."""
