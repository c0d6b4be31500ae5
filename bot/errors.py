"""What can go wrong, as one tree. Errors know nothing of Slack or HTTP; the edges map them to words.

The first paragraph of a leaf's docstring is its default message. Messages are written for the
person who will read them: they say what is wrong and what to do next, and never contain a secret.
"""

from collections.abc import Mapping


class JitError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        told, _, _ = (type(self).__doc__ or "").strip().partition("\n\n")
        super().__init__(message or " ".join(told.split()))


class OperatorError(JitError):
    """The set-up is wrong; an operator can put it right. Prints one sentence, exits with `code`."""

    code = 2


class SettingsError(OperatorError):
    """A setting is missing or wrong. Names the key, never the value."""


class CatalogError(OperatorError):
    """The catalog cannot be used. Names file, line and what was meant."""


class StoreError(OperatorError):
    """The state database cannot be used."""


class UserError(JitError):
    """A person asked for something that cannot be done; the message tells them why and what next."""


class InvalidDraft(UserError):
    """Some fields of the request are not right."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """`fields` maps a field of `model.Draft` to what is wrong with it."""
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


class NotAllowed(UserError):
    """This person may not do that."""


class AlreadyAsked(NotAllowed):
    """You have already asked for this. It is waiting for a decision.

    Withdraw it to ask differently.
    """

    def __init__(self, request_id: str) -> None:
        """`request_id`: the request that waits."""
        super().__init__(
            f"You have already asked for this: request {request_id} is waiting for a decision. "
            "Withdraw it to ask differently."
        )
        self.request_id = request_id


class NotFound(UserError):
    """There is nothing of that name that you may see."""


class TooLate(UserError):
    """Somebody or something else settled this first."""


class IdentityUnknown(UserError):
    """Could not confirm your account with Slack just now, so nothing was decided.
    Press again in a moment.
    """


class Busy(UserError):
    """Too much is going on just now. Nothing was changed. Try again in a moment."""


class Conflict(JitError):
    """The record changed under our hands: the state we expected is no longer there."""
