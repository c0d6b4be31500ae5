"""`jit serve` as the demo's child: it ends when its parent does, however the parent dies.

The parent holds the writing end of our standard input and never writes; when the parent is gone,
even by kill -9, the kernel closes that end and we read its end.
"""

import os
import signal
import sys
import threading

from bot import cli


def _end_with_parent() -> None:
    while os.read(0, 1024):  # unbuffered: a thread inside a buffered read cannot be left at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    sys.argv = ["jit", "serve"]
    cli.main()
