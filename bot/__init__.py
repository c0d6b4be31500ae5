"""The bot: people, policy and chat.

structlog imports rich where it is installed (typer brings it), to draw tracebacks with the values of
local variables. No log of ours may have those, and rich takes as long to import as half of the bot.
"""

import sys

if "rich" not in sys.modules and "structlog" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # to import it fails
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
