"""Slack's own addresses: the Web API, response urls, uploads."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bot.demo.workspace import acts, connections, posting, refusal, things, trouble, webapi


class Slack:
    """Slack's own addresses."""

    def __init__(self, workspace: acts.Workspace) -> None:
        self._workspace = workspace

    async def call(self, request: Request) -> Response:
        """A Web API call, with whatever trouble is switched on."""
        began, method = time.monotonic(), request.path_params["method"]
        faults, wire = self._workspace.trouble, self._workspace.wire
        args, unreadable = await _arguments(request)
        wire.note("call", method, body=args)
        if faults.slow_ms:
            await asyncio.sleep(faults.slow_ms / 1000)
        fault = faults.strikes(method)
        if fault is not None:
            wire.note("reply", method, ms=_ms(began), error=fault.error)
            return await self._fail(request, fault)
        answer = unreadable or webapi.call(self._workspace, method, _token(request, args), args)
        error = None if answer["ok"] else str(answer["error"])
        wire.note("reply", method, ms=_ms(began), error=error, body=answer)
        if faults.loses(method):
            return await connections.cut(request)
        return JSONResponse(answer, headers=self._headers())

    def _headers(self) -> Mapping[str, str]:
        granted = self._workspace.scopes or ("chat:write", "commands", "users:read")
        return {"X-OAuth-Scopes": ",".join(sorted(granted))}

    async def _fail(self, request: Request, fault: trouble.Fault) -> Response:
        if fault.reset:
            return await connections.cut(request)
        told = {"ok": False, "error": fault.error}
        if fault.retry_after is None:
            return JSONResponse(told, status_code=fault.status)
        headers = {"Retry-After": str(fault.retry_after)}
        return JSONResponse(told, status_code=fault.status, headers=headers)

    async def respond(self, request: Request) -> Response:
        """A post to a response url."""
        args, unreadable = await _arguments(request)
        fault = self._workspace.trouble.strikes("response_url")
        if fault is not None:
            self._note_response(args, fault.error)
            return await self._fail(request, fault)
        answer = unreadable or self._do_respond(request.path_params["token"], args)
        self._note_response(args, answer.get("error"))
        if answer["ok"]:
            return PlainTextResponse("ok")
        gone = answer["error"] in ("expired_url", "used_url")
        return JSONResponse(answer, status_code=404 if gone else 400)

    def _do_respond(self, token: str, args: things.Json) -> things.Json:
        try:
            slip = self._workspace.response_urls.spend(token)
            posting.respond(self._workspace, slip, args)
        except refusal.Refused as refused:
            return refused.answer()
        return {"ok": True}

    def _note_response(self, args: things.Json, error: str | None) -> None:
        self._workspace.wire.note("respond", "response_url", error=error, body=args)

    async def upload(self, request: Request) -> Response:
        """The bytes of a file."""
        file_id = request.path_params["file"]
        if file_id not in self._workspace.files:
            return PlainTextResponse("not found", status_code=404)
        body = await request.body()
        if request.headers.get("content-type", "").startswith("multipart/"):
            body = await _first_file(request)
        self._workspace.uploads[file_id] = body
        return PlainTextResponse(f"OK - {len(body)}")

    async def file(self, request: Request) -> Response:
        """A shared file."""
        file_id = request.path_params["file"]
        if file_id not in self._workspace.uploads:
            return PlainTextResponse("not found", status_code=404)
        kind = self._workspace.files[file_id]["mimetype"]
        return Response(self._workspace.uploads[file_id], media_type=kind)


async def _arguments(request: Request) -> tuple[things.Json, things.Json | None]:
    """The arguments, and the answer to give when they cannot be read."""
    try:
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            async with request.form() as form:
                given = {name: value for name, value in form.items() if isinstance(value, str)}
            args = webapi.unpack(given)
        else:
            args = webapi.read(await request.body(), content_type)
    except refusal.Refused as refused:
        return {}, refused.answer()
    return {**webapi.unpack(dict(request.query_params)), **args}, None


async def _first_file(request: Request) -> bytes:
    async with request.form() as form:
        for value in form.values():
            if not isinstance(value, str):
                return await value.read()
    return b""


def _token(request: Request, args: Mapping[str, Any]) -> str | None:
    header = request.headers.get("authorization", "")
    kind, _, token = header.partition(" ")
    if kind.lower() == "bearer" and token:
        return token.strip()
    given = args.get("token")
    return str(given) if given else None


def _ms(began: float) -> float:
    return (time.monotonic() - began) * 1000
