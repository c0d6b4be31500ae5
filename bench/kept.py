"""What was found, one file a case, so that one can be measured again by itself and a run resumed."""

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import openbao, stage

RESULTS = Path(__file__).parent / "results"
_ROOT = Path(__file__).parent.parent
_MEASURED = ("bench", "bot", "db_grants")

Found = dict[str, Any]


def nothing() -> Found:
    """What is known of a case before it runs."""
    return {"lines": [], "verdicts": [], "broken": None, "took_s": 0.0}


def about(made: stage.Stage, *, size: str) -> dict[str, Any]:
    """When, on what, with which versions, and of which code."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": [p.version for p in (made.at, made.older) if p is not None],
        "openbao": openbao.version() if made.baos else None,
        "size": size,
        "code": code(),
    }


def write(name: str, found: Found, told: dict[str, Any], folder: Path = RESULTS) -> None:
    """Keep what was found of a case, whole or broken off."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({"about": told, **found}, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def read(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """What is kept of a case."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def is_done(name: str, size: str, folder: Path = RESULTS) -> bool:
    """Whether this case was measured to its end, of that size, on the very code there is now."""
    found = read(name, folder)
    if found is None or found["broken"]:
        return False
    told = found["about"]
    return bool(told["size"] == size and told.get("code") == code())


def code() -> str:
    """A name for the code as it is now."""
    seen = hashlib.sha256()
    for package in _MEASURED:
        for path in sorted((_ROOT / package).rglob("*.py")):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:12]
