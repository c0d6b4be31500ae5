"""A control page for this machine alone: other sites may neither read it nor press its buttons."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OURSELVES = {"127.0.0.1", "localhost", "::1"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
    "img-src 'self' https: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def objection(request: Request) -> str | None:
    """Why a request is refused, None when it may pass.

    The name in Host stops DNS rebinding; Origin, Sec-Fetch-Site and a JSON body (which no form of
    another site can send) stop cross-site posts.
    """
    if _host(f"//{request.headers.get('host', '')}") not in OURSELVES:
        return "This page answers on localhost only."
    if request.method in ("GET", "HEAD"):
        return None
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.headers['host']}":
        return "Another site may not act here."
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Another site may not act here."
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        return "Acts are sent as JSON."
    return None


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Guard:
    """Refuses what `objection` objects to and tells browsers to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 with the reason."""
        said = objection(Request(scope))
        if said is not None:
            await PlainTextResponse(said, status_code=403)(scope, receive, send)
            return

        async def with_policy(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cache-control", b"no-cache"),
                ]
                message["headers"] = [*message.get("headers", []), *headers]  # type: ignore[misc]
            await send(message)

        await self._app(scope, receive, with_policy)  # type: ignore[arg-type]
