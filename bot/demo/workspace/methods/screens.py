"""Methods of the family views."""

from collections.abc import Mapping

from bot.demo.workspace import acts, people, refusal, things, views
from bot.demo.workspace.methods import arguments


def open_(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Show a modal to whoever the trigger is of."""
    user, body = _admitted(workspace, args)
    return {"view": views.told(views.open_modal(workspace, user, body))}


def push(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Show a modal on top of the open ones."""
    user, body = _admitted(workspace, args)
    return {"view": views.told(views.push(workspace, user, body))}


def _admitted(workspace: acts.Workspace, args: things.Json) -> tuple[str, things.Json]:
    body = views.accept(args.get("view"), "modal")
    return workspace.triggers.spend(arguments.need(args, "trigger_id")), body


def update(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Replace what an open view shows."""
    if args.get("view_id"):
        view = workspace.find_view(str(args["view_id"]))
    else:
        view = views.find_by_external_id(workspace, arguments.need(args, "external_id"))
    if view is None:
        raise refusal.Refused("not_found")
    body = views.accept(args.get("view"), view.type)
    return {"view": views.told(views.update(workspace, view, body, args.get("hash")))}


def publish(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Make or replace somebody's Home."""
    user = arguments.need(args, "user_id")
    if user not in workspace.users or user in (people.BOT, people.SLACKBOT):
        raise refusal.malformed("invalid_arguments", ["user_not_found [json-pointer:/user_id]"])
    body = views.accept(args.get("view"), "home")
    return {"view": views.told(views.publish(workspace, user, body, args.get("hash")))}


METHODS: Mapping[str, arguments.Method] = {
    "views.open": arguments.Method(call=open_),
    "views.push": arguments.Method(call=push),
    "views.update": arguments.Method(call=update),
    "views.publish": arguments.Method(call=publish),
}
