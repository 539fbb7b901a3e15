"""Run services of the compose file from their images, by crun, on one network and without a daemon.

What the compose file says of a service is kept: command, environment, user, read-only root, tmpfs, volumes,
secrets, capabilities, privileges and health check. Its networks are not: all services share the network of
this process, in which their names mean this machine. What engines do beyond that, restarting above all, is
left to engines.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_BITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DEVICES: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    },
]


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """Return a part of a compose file with ``${NAME:-default}`` filled in and ``$$`` as ``$``."""
    if isinstance(value, dict):
        return {key: interpolated(one, env) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, env) for one in value]
    if not isinstance(value, str):
        return value
    filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: env.get(m[1]) or m[2], value)
    return filled.replace("$$", "$")


@dataclass(frozen=True)
class Image:
    """An image that is mounted, with its own settings."""

    root: Path
    settings: Mapping[str, Any]

    def user(self, given: str | None) -> tuple[int, int, str]:
        """Numbers of user and group, and the user's home."""
        name, _, group = (given or self.settings.get("User") or "0").partition(":")
        for line in (self.root / "etc/passwd").read_text().splitlines():
            known, _, uid, gid, _, home, _ = line.split(":")
            if name in {known, uid}:
                return int(uid), int(group or gid), home
        return int(name), int(group or 0), "/"


class Buildah:
    """Images in a folder, mounted once each: containers with a read-only root can share them."""

    def __init__(self, folder: Path) -> None:
        self._command = ["buildah", "--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
        self._made: dict[str, tuple[str, Image]] = {}

    def image(self, name: str) -> Image:
        """Mount an image, or return it as it is mounted."""
        if name not in self._made:
            container = self._run("from", "--pull-never", f"localhost/{name}")
            found = json.loads(self._run("inspect", "--type", "image", f"localhost/{name}"))
            image = Image(Path(self._run("mount", container)), found["OCIv1"]["config"])
            self._made[name] = container, image
        return self._made[name][1]

    def close(self) -> None:
        """Remove the working containers; the images stay."""
        for container, _ in self._made.values():
            self._run("umount", container)
            self._run("rm", container)

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [*self._command, *words], check=True, capture_output=True, text=True
        ).stdout.strip()


@dataclass
class Container:
    """A container that runs or ran."""

    name: str
    service: str
    process: subprocess.Popen[bytes]
    log: Path
    crun: Sequence[str]
    user: str
    health: Sequence[str] = ()
    entrypoint: Sequence[str] = ()

    def exec(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it as its user, as `docker exec` does."""
        return subprocess.run(
            [*self.crun, "exec", f"--user={self.user}", self.name, *words],
            capture_output=True,
            text=True,
            check=False,
        )

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it by way of its entrypoint, which knows the database's address."""
        return self.exec(*self.entrypoint, *words)

    def check(self) -> tuple[int, str]:
        """Run its health check; return exit code and what it said."""
        done = self.exec(*self.health)
        return done.returncode, (done.stdout + done.stderr).strip().replace("\n", " | ")

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        subprocess.run(
            [*self.crun, "kill", self.name, name], check=True, capture_output=True, text=True
        )

    def wait(self, seconds: float) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(seconds)


@dataclass
class Project:
    """The services of a compose file.

    Parameters
    ----------
    file : Path
        The compose file.
    folder : Path
        For volumes, secrets, logs and bundles.
    buildah : Buildah
        Where the images are.
    env : mapping
        What the compose file's variables mean.
    """

    file: Path
    folder: Path
    buildah: Buildah
    env: Mapping[str, str]
    running: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compose = interpolated(yaml.safe_load(self.file.read_text("utf-8")), self.env)
        self.secrets = self.folder / "secrets"
        for name in ("secrets", "volumes", "logs", "bundles", "crun"):
            (self.folder / name).mkdir()
        hosts = " ".join(["localhost", *self.compose["services"]])
        (self.folder / "hosts").write_text(f"127.0.0.1 {hosts}\n")

    def start(
        self,
        service: str,
        name: str | None = None,
        command: Sequence[str] = (),
        volumes: Sequence[str] = (),
        health: bool = True,
    ) -> Container:
        """Start a container of a service; with a command, as `docker compose run` does."""
        described = self.compose["services"][service]
        called = name or service
        bundle = self.folder / "bundles" / f"{len(self.running)}-{called}"
        bundle.mkdir()
        image = self.buildah.image(described["image"])
        (bundle / "config.json").write_text(
            json.dumps(self._specification(described, image, called, command, volumes))
        )
        crun = ["crun", "--cgroup-manager=disabled", f"--root={self.folder / 'crun'}"]
        log = self.folder / "logs" / f"{bundle.name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*crun, "run", f"--bundle={bundle}", called],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        test = described.get("healthcheck", {}).get("test", ["NONE"]) if health else ["NONE"]
        container = Container(
            called,
            service,
            process,
            log,
            crun,
            "{}:{}".format(*image.user(described.get("user"))),
            tuple(test[1:]),
            tuple(image.settings.get("Entrypoint") or ()),
        )
        self.running.append(container)
        return container

    def run(
        self, service: str, *command: str, name: str | None = None, volumes: Sequence[str] = ()
    ) -> tuple[int, str]:
        """Run a container of a service to its end; return exit code and what it said."""
        container = self.start(service, name or f"{service}-run", command, volumes)
        code = container.wait(900)
        return code, container.log.read_text(errors="replace").strip()

    def close(self) -> None:
        """End everything that still runs."""
        for container in reversed(self.running):
            if container.process.poll() is None:
                subprocess.run([*container.crun, "kill", container.name, "KILL"], check=False)
                container.process.wait(30)

    def _specification(
        self,
        service: Mapping[str, Any],
        image: Image,
        name: str,
        command: Sequence[str],
        volumes: Sequence[str],
    ) -> dict[str, Any]:
        uid, gid, home = image.user(service.get("user"))
        env = {"HOME": home, **dict(one.split("=", 1) for one in image.settings["Env"])}
        env |= {key: str(value) for key, value in service.get("environment", {}).items()}
        words = list(command) or service.get("command") or image.settings.get("Cmd") or []
        all_dropped = service.get("cap_drop") == ["ALL"]
        kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
        if not all_dropped:
            raise SystemExit(f"{name} keeps capabilities, which this program does not know about")
        return {
            "ociVersion": "1.0.0",
            "hostname": name,
            "root": {"path": f"{image.root}", "readonly": bool(service.get("read_only"))},
            "process": {
                "terminal": False,
                "user": {"uid": uid, "gid": gid},
                "args": [*(image.settings.get("Entrypoint") or []), *map(str, words)],
                "env": [f"{key}={value}" for key, value in env.items()],
                "cwd": image.settings.get("WorkingDir") or "/",
                "capabilities": {kind: [] for kind in kinds},
                "noNewPrivileges": "no-new-privileges:true" in service.get("security_opt", []),
            },
            "mounts": [*_DEVICES, *self._mounts(service, image, volumes)],
            "linux": {"namespaces": [{"type": one} for one in ("pid", "ipc", "uts", "mount")]},
        }

    def _mounts(
        self, service: Mapping[str, Any], image: Image, volumes: Sequence[str]
    ) -> list[dict[str, Any]]:
        size = str(service.get("shm_size", "64mb")).removesuffix("b")
        shared = int(size[:-1]) * _BITS[size[-1]]
        mounts = [_tmpfs("/dev/shm", "mode=1777", f"size={shared}")]  # noqa: S108 - of the container
        for one in service.get("tmpfs", []):
            place, _, options = one.partition(":")
            mounts.append(_tmpfs(place, *(options.split(",") if options else ["mode=1777"])))
        mounts.append(_bind(self.folder / "hosts", "/etc/hosts", "ro"))
        for one in [*service.get("volumes", []), *volumes]:
            source, place, mode = (*one.split(":"), "rw")[:3]
            mounts.append(_bind(self._volume(source, image.root / place[1:]), place, mode))
        for secret in service.get("secrets", []):
            file = self.compose["secrets"][secret]["file"]
            mounts.append(_bind(self.secrets / Path(file).name, f"/run/secrets/{secret}", "ro"))
        return mounts

    def _volume(self, source: str, like: Path) -> Path:
        """Return the folder of a volume; a new one is owned as the image's folder in its place."""
        if "/" in source:
            return Path(source)
        folder = self.folder / "volumes" / source
        if not folder.exists():
            folder.mkdir()
            status = like.stat()
            os.chown(folder, status.st_uid, status.st_gid)
            shutil.copymode(like, folder)
        return folder


def _tmpfs(place: str, *options: str) -> dict[str, Any]:
    safe = ["nosuid", "nodev", "noexec"]
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": [*safe, *options]}


def _bind(source: Path, place: str, mode: str) -> dict[str, Any]:
    return {
        "destination": place,
        "type": "bind",
        "source": f"{source}",
        "options": ["bind", "nosuid", "nodev", mode],
    }


def until(what: str, ready: Any, seconds: float, pause: float = 1.0) -> float:
    """Wait until something is true; return for how long, in seconds."""
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(pause)
    return time.monotonic() - began
