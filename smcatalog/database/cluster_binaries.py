"""Find the installed PostgreSQL server programs that can run the private cluster."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from smcatalog.core.errors import DatabaseUnavailable

__all__ = ["MINIMUM_MAJOR", "Binaries", "find_binaries", "find_client"]

MINIMUM_MAJOR = 15

_NEEDED = ("initdb", "pg_ctl", "postgres")
_DEBIAN_ROOT = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of the PostgreSQL server.

    Parameters
    ----------
    directory : Path
        Holds ``initdb``, ``pg_ctl`` and ``postgres``.
    version : str
        As the server says it, for example ``15.8``.
    has_postgis : bool
        Whether PostGIS can be created in its databases.
    """

    directory: Path
    version: str
    has_postgis: bool

    @property
    def major(self) -> int:
        """First number of the version."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """Absolute path of one program."""
        return str(self.directory / name)


def find_binaries(
    environ: Mapping[str, str] | None = None, *, major: int | None = None
) -> Binaries:
    """Pick the server programs to run.

    ``SMCATALOG_PG_BIN`` decides when it is set. Otherwise the newest version that has PostGIS is
    taken from PATH and from the places where Debian puts servers.

    Parameters
    ----------
    environ : mapping, optional
        Environment to read; default: this process's.
    major : int, optional
        Only this major version will do, because a data directory was made by it.

    Raises
    ------
    DatabaseUnavailable
        When nothing fitting is installed; the message says what to install.
    """
    env = os.environ if environ is None else environ
    chosen = env.get("SMCATALOG_PG_BIN")
    if chosen:
        found = _examine(Path(chosen))
        if found is None:
            raise DatabaseUnavailable(
                f"SMCATALOG_PG_BIN={chosen} does not hold {', '.join(_NEEDED)}: "
                "point it at the server's bin directory or unset it."
            )
        return _checked([found], major, where=f"in SMCATALOG_PG_BIN={chosen}")
    candidates = (_examine(directory) for directory in _places(env))
    return _checked([c for c in candidates if c is not None], major, where="on this machine")


def find_client(name: str, server_major: int, environ: Mapping[str, str] | None = None) -> str:
    """Return the path of a client program that fits a server: of its version, else the next newer one.

    ``SMCATALOG_PG_BIN`` decides when it is set; otherwise the places of servers and PATH are searched.

    Parameters
    ----------
    name : str
        ``pg_dump`` or ``pg_restore``.
    server_major : int
        Major version of the server.

    Raises
    ------
    DatabaseUnavailable
        When none is new enough; the message says what to install.
    """
    env = os.environ if environ is None else environ
    chosen = env.get("SMCATALOG_PG_BIN")
    places = [Path(chosen)] if chosen else list(_places(env))
    on_path = shutil.which(name, path=env.get("PATH"))
    if on_path and not chosen:  # a machine may have the client alone
        places.append(Path(on_path).parent)
    found: dict[int, str] = {}
    for place in places:
        program = place / name
        match = (
            re.search(r"\d+", _ask(program, "--version")) if os.access(program, os.X_OK) else None
        )
        if match is not None:
            found.setdefault(int(match.group()), str(program))
    fitting = [major for major in found if major >= server_major]
    if fitting:
        return found[min(fitting)]
    seen = ", ".join(f"version {major} in {path}" for major, path in sorted(found.items()))
    raise DatabaseUnavailable(
        f"{name} of PostgreSQL {server_major} or newer was not found (seen: {seen or 'none'}). "
        f"Install it, on Debian: apt-get install postgresql-client-{server_major}; "
        "or set SMCATALOG_PG_BIN to the folder that holds it."
    )


def _checked(found: list[Binaries], major: int | None, *, where: str) -> Binaries:
    wanted = [
        b
        for b in found
        if b.has_postgis and b.major >= MINIMUM_MAJOR and (major is None or b.major == major)
    ]
    if wanted:
        return max(wanted, key=lambda b: [int(n) for n in re.findall(r"\d+", b.version)])
    seen = ", ".join(
        f"{b.version} in {b.directory}{'' if b.has_postgis else ' without PostGIS'}" for b in found
    )
    if major is None:
        need = f"PostgreSQL {MINIMUM_MAJOR} or newer with PostGIS"
        package = f"{MINIMUM_MAJOR}"
    else:
        need = f"PostgreSQL {major} with PostGIS (the data directory was made by version {major})"
        package = f"{major}"
    raise DatabaseUnavailable(
        f"{need} was not found {where} (seen: {seen or 'none'}). Install it, on Debian: "
        f"apt-get install postgresql-{package} postgresql-{package}-postgis-3; "
        "or set SMCATALOG_PG_BIN to the server's bin directory, "
        "or SMCATALOG_DATABASE_URL to a database elsewhere."
    )


def _places(env: Mapping[str, str]) -> Iterator[Path]:
    on_path = shutil.which("postgres", path=env.get("PATH"))
    if on_path:
        yield Path(on_path).resolve().parent
    if _DEBIAN_ROOT.is_dir():
        yield from sorted(_DEBIAN_ROOT.glob("*/bin"))


@cache
def _examine(directory: Path) -> Binaries | None:
    if not all(os.access(directory / name, os.X_OK) for name in _NEEDED):
        return None
    answer = _ask(directory / "postgres", "--version")
    match = re.search(r"\d+(\.\d+)*", answer)
    if match is None:
        return None
    return Binaries(directory, match.group(), _has_postgis(directory))


def _has_postgis(directory: Path) -> bool:
    shares = [directory.parent / "share", directory.parent / "share" / "postgresql"]
    if os.access(directory / "pg_config", os.X_OK):
        shares.insert(0, Path(_ask(directory / "pg_config", "--sharedir").strip()))
    return any((share / "extension" / "postgis.control").is_file() for share in shares)


def _ask(program: Path, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return done.stdout
