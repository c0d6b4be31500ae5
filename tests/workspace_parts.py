"""What the tests of the workspace show and press: a modal, a card, and what the app was told."""

ANA, BO, GUS, ACCESS = "U0ANA", "U0BO", "U0GUS", "C0ACCESS"
WHAT = [
    {"text": {"type": "plain_text", "text": "Read customers"}, "value": "read_customer_data"},
    {"text": {"type": "plain_text", "text": "Write logs"}, "value": "write_logs"},
]


def plain(words):
    return {"type": "plain_text", "text": words}


def field(block_id, label, element, **more):
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "element": element,
        **more,
    }


MODAL = {
    "type": "modal",
    "callback_id": "request",
    "title": plain("Ask for access"),
    "submit": plain("Ask"),
    "notify_on_close": True,
    "private_metadata": "r1",
    "blocks": [
        field(
            "what",
            "What",
            {"type": "external_select", "action_id": "pick", "min_query_length": 1},
            dispatch_action=True,
        ),
        field("why", "Why", {"type": "plain_text_input", "action_id": "why"}),
        field(
            "who",
            "Who else",
            {"type": "users_select", "action_id": "who"},
            optional=True,
        ),
    ],
}


def card(*buttons, words="Ana asks"):
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": words}}]
    if buttons:
        blocks.append({"type": "actions", "block_id": "do", "elements": list(buttons)})
    return blocks


APPROVE = {
    "type": "button",
    "text": plain("Approve 30 min"),
    "action_id": "approve",
    "value": "k1",
    "style": "primary",
}
REVOKE = {
    "type": "button",
    "text": plain("Revoke"),
    "action_id": "revoke",
    "confirm": {
        "title": plain("Revoke?"),
        "text": plain("It ends now."),
        "confirm": plain("Revoke"),
        "deny": plain("Keep"),
    },
}


def post(bolt, *elements, **more):
    return bolt.client.chat_postMessage(channel=ACCESS, text="x", blocks=card(*elements), **more)


def listen(bolt, heard):
    bolt.app.action({"type": "block_actions"})(lambda ack: ack())
    for name in ("approve", "revoke", "menu", "pick", "checks", "day"):
        bolt.app.action(name)(lambda ack, body: (heard.append(body), ack()))
    bolt.connect()


def open_modal(bolt, workspace, view):
    bolt.client.views_open(trigger_id=workspace.triggers.issue(ANA), view=view)
    return workspace.view_of(ANA)


SIMPLE = MODAL | {"blocks": [MODAL["blocks"][1]]}
