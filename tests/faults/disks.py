"""Disks that are too small for a store, for a while."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.faults import odd
from tests.faults.home import Home


class Tmpfs:
    """A store on a disk in memory that is too small."""

    name = "disk full (tmpfs)"
    module = "smcatalog"

    def __init__(self, home: Home) -> None:
        self.kilobytes, self.times = 128, 0
        self._folder = home.store
        self._folder.mkdir()
        self._mount("size=128k", "tmpfs")

    def _mount(self, options: str, *device: str) -> None:
        command = ["/bin/mount", "-t", "tmpfs", "-o", options, *device, str(self._folder)]
        subprocess.run(command, check=True, capture_output=True)

    def given(self, _: int) -> Mapping[str, str]:
        return {}

    def enlarge(self) -> None:
        self.times += 1
        self.kilobytes += max(64, self.kilobytes // 5)
        self._mount(f"remount,size={self.kilobytes}k")

    def refill(self, dice: random.Random) -> None:
        pass

    def close(self) -> None:
        subprocess.run(
            ["/bin/umount", "--lazy", str(self._folder)], check=True, capture_output=True
        )


class Injected:
    """Writing that fails as on a full disk, where nothing may be mounted."""

    name = "disk full (injected)"
    module = odd.MODULE

    def __init__(self, home: Home) -> None:
        self.times = 0
        self._mark = home.home / "full"

    def given(self, _: int) -> Mapping[str, str]:
        return {odd.FULL: str(self._mark)}

    def enlarge(self) -> None:
        self._mark.unlink(missing_ok=True)

    def refill(self, dice: random.Random) -> None:
        if not self._mark.exists() and self.times < 8 and dice.random() < 0.1:
            self._mark.touch()
            self.times += 1

    def close(self) -> None:
        pass


@contextmanager
def disk_of(home: Home) -> Iterator[Tmpfs | Injected]:
    """Give a home a disk that becomes full: a small one in memory where it may be mounted."""
    disk: Tmpfs | Injected
    try:
        disk = Tmpfs(home)
    except (OSError, subprocess.CalledProcessError):
        disk = Injected(home)
    try:
        yield disk
    finally:
        disk.close()
