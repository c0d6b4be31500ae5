"""Names by which Slack tells us what was pressed, chosen, sent or opened.

The manifest and the listeners are tied to these by tests/unit/test_manifest.py.
"""

from enum import StrEnum

COMMAND = "/jit"
SHORTCUT = "request.new"


class Act(StrEnum):
    """Buttons. The value of each is a request id, except where something else is noted."""

    ASK_NEW = "request.new"
    ASK_FOR = "request.for"  # value: an entitlement's name
    APPROVE = "request.approve"
    DENY = "request.deny"
    DETAILS = "request.details"
    CANCEL = "request.cancel"
    AGAIN = "request.again"
    CREDENTIALS = "grant.credentials"
    RETURN = "grant.return"
    REVOKE = "grant.revoke"
    STOP = "grant.stop"
    ACKNOWLEDGE = "alarm.acknowledge"  # value: an alarm's id


class View(StrEnum):
    """Windows, by callback_id."""

    REQUEST = "view.request"
    DENY = "view.deny"
    REVOKE = "view.revoke"
    READ = "view.read"  # nothing to send: details, credentials, skeletons


class Field(StrEnum):
    """Inputs, by action_id. Block ids are `<field>.<what it depends on>`."""

    TARGET = "field.target"
    ENTITLEMENT = "field.entitlement"
    TABLES = "field.tables"
    DURATION = "field.duration"
    WHY = "field.why"
    COMMENT = "field.comment"
