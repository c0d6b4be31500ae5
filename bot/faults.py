"""Named places between two steps where a test may stop the program, to prove that it recovers.

Nothing happens unless `JIT_FAULT` names the place: `JIT_FAULT=after-create:kill` ends the process as
a power cut would, `JIT_FAULT=after-create:raise` abandons the work at hand and lets a test go on, and
`JIT_FAULT=after-create:pause` stops the whole process there, once, until somebody sends it SIGCONT.
"""

import os
import signal


class Injected(BaseException):
    """Stopped here on purpose."""  # not an Exception: no retry may mistake it for a failed attempt


def checkpoint(name: str) -> None:
    """Stop here if `JIT_FAULT` says so; otherwise do nothing."""
    wanted, _, how = os.environ.get("JIT_FAULT", "").partition(":")
    if wanted != name:
        return
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "pause":
        del os.environ["JIT_FAULT"]
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    raise Injected(name)
