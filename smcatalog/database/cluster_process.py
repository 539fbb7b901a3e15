"""What runs on a data directory: the postmaster as its files and the kernel tell of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smcatalog.database.cluster_config import PORT

__all__ = ["Postmaster", "drop_stale_locks", "find_postmaster", "held_by", "wait_until_free"]


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A live server process.

    Parameters
    ----------
    pid : int
        Its process id.
    socket_dir : Path
        Where its socket is.
    ready : bool
        Whether it takes connections; False while it starts, recovers or stops.
    """

    pid: int
    socket_dir: Path
    ready: bool


def find_postmaster(data: Path) -> Postmaster | None:
    """Live postmaster of a data directory, None when there is none.

    ``postmaster.pid`` outlives a server that was killed, and its number may belong to somebody
    else by now. The kernel decides: a postmaster stands in its data directory.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
        socket_dir = Path(lines[4].strip())
    except (OSError, ValueError, IndexError):
        return None
    if not _stands_in(pid, data):
        return None
    return Postmaster(pid, socket_dir, ready=len(lines) > 7 and lines[7].strip() == "ready")  # noqa: PLR2004 - eighth line: the state


def held_by(data: Path) -> list[int]:
    """Find the processes that stand in a data directory: a server, or what it left behind."""
    return [pid for pid in _processes() if _stands_in(pid, data)]


def wait_until_free(data: Path, *, seconds: float) -> list[int]:
    """Wait for the children of a killed postmaster to notice and end; those left at the end."""
    deadline = time.monotonic() + seconds
    while (left := held_by(data)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def drop_stale_locks(data: Path, socket_dir: Path) -> None:
    """Remove the lock files of a dead server whose number another program has by now.

    PostgreSQL clears away files whose number nobody has; at one that is taken, if only by a process
    that nobody has reaped yet, it refuses to start, since it cannot tell whose it is. Only for
    directories that no process stands in.
    """
    for path in (data / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
        try:
            pid = abs(int(path.read_text().splitlines()[0]))
        except (OSError, ValueError, IndexError):
            continue
        if Path(f"/proc/{pid}").exists():
            path.unlink()


def _stands_in(pid: int, data: Path) -> bool:
    """Compare the directories themselves: in a container or chroot the same name is another one."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
