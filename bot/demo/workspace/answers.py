"""What the app's acknowledgement asks for: errors in a modal, another view, options to choose."""

from dataclasses import replace

from bot.demo.workspace import elements, inputs, refusal, state, things, views

TROUBLE = "We had some trouble connecting. Try again?"


class BadAnswer(Exception):
    """The app acknowledged with something Slack refuses. The person was told of trouble."""


def options(answer: things.Json) -> list[things.Json]:
    """The options offered, groups opened."""
    if "option_groups" in answer:
        wrong = list(elements.GROUPS(answer["option_groups"], "/option_groups"))
    else:
        wrong = list(elements.OFFERED(answer.get("options"), "/options"))
    if wrong:
        raise BadAnswer("; ".join(wrong))
    return inputs.options_of(answer)


def to_submission(
    places: state.State, view: things.View, answer: things.Json
) -> dict[str, str] | None:
    """Do what the answer to a submitted modal says; the errors it gives, or None."""
    action = answer.get("response_action")
    if action == "errors":
        return _show_errors(places, view, answer.get("errors"))
    with places.changing():
        try:
            _follow(places, view, action, answer.get("view"))
        except refusal.Refused as refused:
            raise BadAnswer(f"{refused.error} {refused.more.get('errors', '')}".strip()) from None
    return None


def _follow(places: state.State, view: things.View, action: object, body: object) -> None:
    if action is None:
        views.pop(places, view.user, view.id)
    elif action == "clear":
        places.set_stack(view.user, [])
    elif action == "update":
        views.update(places, view, views.accept(body, "modal"), None)
    elif action == "push":
        views.push(places, view.user, views.accept(body, "modal"))
    else:
        raise BadAnswer(f"unknown response_action {action!r}")


def _show_errors(places: state.State, view: things.View, errors: object) -> dict[str, str]:
    if not isinstance(errors, dict) or not errors:
        raise BadAnswer("errors must name at least one block")
    fields = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    strange = sorted(set(errors) - fields)
    if strange:
        raise BadAnswer(f"errors for what is no input block: {', '.join(strange)}")
    told = {str(name): str(why) for name, why in errors.items()}
    with places.changing():
        places.put_view(replace(places.find_view(view.id) or view, errors=told))
    return told
