"""Run the images of docker/ as the compose file says, and print what was seen; started by try-images."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from containers import Buildah, Container, Project, until

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("SPL3SMP", "MOD11A1", "MOD13A2", "SRTMGL3", "SoilGrids")
FIRST, LAST = "2018-06-10", "2018-06-15"
API_PORT = 8000
USER = 10001
"""Whom the image's programs run as."""
wrong: list[str] = []


def say(line: str) -> None:
    """Print a line of the report."""
    print(line, flush=True)


def step(title: str) -> None:
    """Begin a part of the report."""
    say(f"\n== {title}")


def expect(true: bool, what: str) -> None:
    """Say what was seen, and remember what is not as it should be."""
    say(f"{'ok   ' if true else 'WRONG'} {what}")
    if not true:
        wrong.append(what)


def get(path: str, **headers: str) -> tuple[int, bytes]:
    """Ask the API."""
    connection = HTTPConnection("127.0.0.1", API_PORT, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def health(container: Container, *, well: bool) -> None:
    """Expect a health check to say so."""
    code, said = container.check()
    expect((code == 0) is well, f"{container.name}: health check says {code}: {said}")


def restrictions(container: Container) -> None:
    """Expect a container to run as an ordinary user, without rights, on a root that it cannot write."""
    status = container.exec("cat", "/proc/1/status").stdout
    found = dict(
        re.findall(r"^(Uid|Gid|CapEff|CapBnd|NoNewPrivs|Name):\s*(\S+)", status, re.MULTILINE)
    )
    numbers = container.exec("id").stdout.strip()
    expect(
        found["Uid"] != "0"
        and f"uid={found['Uid']}" in numbers
        and int(found["CapEff"], 16) == int(found["CapBnd"], 16) == 0
        and found["NoNewPrivs"] == "1",
        f"{container.name}: process 1 is {found['Name']}, {numbers}; CapEff {found['CapEff']}, "
        f"CapBnd {found['CapBnd']}, NoNewPrivs {found['NoNewPrivs']}",
    )
    tried = container.exec("touch", "/usr/tried", "/etc/tried", "/srv/tried")
    expect(
        tried.stderr.count("Read-only file system") >= 1 and tried.returncode != 0,
        f"{container.name}: writing to the image's folders: {tried.stderr.splitlines()[:1]}",
    )


def recipe(bbox: list[float]) -> str:
    """Return the demo's product for the small world."""
    text = (ROOT / "smcatalog/products/builtin/demo.toml").read_text("utf-8")
    west, south, east, north = bbox
    inside = [west + 0.01, south + 0.01, east - 0.01, north - 0.01]
    text = re.sub(r"bbox = \[.*\]", f"bbox = {inside}", text)
    text = text.replace('name = "demo"', 'name = "small"', 1)
    text = text.replace("n_estimators = 100", "n_estimators = 20")
    return text.replace("min_samples = 100", "min_samples = 10")


def events(container: Container) -> list[dict[str, Any]]:
    """Return the lines of a container's log that are JSON."""
    lines = container.log.read_text("utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def prepare(folder: Path) -> Project:
    """Make secrets, inbox and the other folders of a person who sets the project up."""
    for name in ("inbox", "world", "products"):
        (folder / name).mkdir()
    os.chown(folder / "world", USER, USER)
    env = {"SMCATALOG_INBOX": f"{folder / 'inbox'}"}
    project = Project(
        ROOT / "docker/compose.yaml", folder, Buildah(Path(os.environ["SMCATALOG_IMAGES"])), env
    )
    for secret in project.compose["secrets"].values():
        file = project.secrets / Path(secret["file"]).name
        file.write_text(os.urandom(24).hex() + "\n")
        file.chmod(0o444)
    return project


def world(project: Project) -> None:
    """Simulate a world in a container, deliver its files to the inbox, and declare its product."""
    step(f"a simulated world, {FIRST} to {LAST}, 150 km, made in a container")
    sources = [word for source in SOURCES for word in ("--source", source)]
    code, said = project.run(
        "worker", "smcatalog", "simulate", "/world/made", "--size", "150", "--seed", "11",
        "--from", FIRST, "--to", LAST, *sources, "--json",
        name="simulate", volumes=[f"{project.folder / 'world'}:/world:rw"],
    )  # fmt: skip
    expect(code == 0, f"simulate ended with {code}")
    if code:
        raise SystemExit(said)
    made = json.loads(said[said.index("{") :])
    shutil.copytree(
        project.folder / "world/made/granules", project.folder / "inbox", dirs_exist_ok=True
    )
    (project.folder / "products/small.toml").write_text(recipe(made["bbox"]), "utf-8")
    number = sum(1 for path in (project.folder / "inbox").rglob("*") if path.is_file())
    say(f"     {number} files in the inbox")


def database(project: Project) -> Container:
    """Start the database and bring its schema up to date."""
    step("database and migration")
    container = project.start("database")
    took = until("the database is healthy", lambda: container.check()[0] == 0, 120)
    say(f"     healthy after {took:.0f} s: {container.check()[1]}")
    for _ in range(2):  # at each start
        code, said = project.run("migrate", name="migrate")
        expect(code == 0, f"migrate ended with {code}: {said.splitlines()[-1:]}")
    return container


def services(project: Project) -> tuple[Container, list[Container], Container]:
    """Start API, two workers and the planner."""
    step("API, two workers, nightly")
    api = project.start("api")
    workers = [project.start("worker", f"worker-{number}") for number in (1, 2)]
    words = project.compose["services"]["nightly"]["command"]
    soon = datetime.now(UTC) + timedelta(minutes=2)  # a night that one can wait for
    words[words.index("--at") + 1] = f"{soon:%H:%M}"
    nightly = project.start("nightly")
    for container in (api, *workers, nightly):
        until(f"{container.name} is healthy", lambda c=container: c.check()[0] == 0, 120, 3)
        health(container, well=True)
    for container in (api, *workers, nightly):
        restrictions(container)
    return api, workers, nightly


def night(project: Project, workers: list[Container], nightly: Container) -> None:
    """Wake the workers for the small product, and wait until nothing is left to do."""
    step("a night: nightly --enqueue-only wakes the workers")
    products = [f"{project.folder / 'products'}:/products:ro"]
    code, said = project.run(
        "nightly", "smcatalog", "products", "add", "/products/small.toml",
        name="add", volumes=products,
    )  # fmt: skip
    expect(code == 0, f"products add ended with {code}: {said.splitlines()[-1:]}")
    time.sleep(5)  # until the inbox' files count as settled
    code, said = project.run(
        "nightly", "smcatalog", "nightly", "small", "--enqueue-only", "--json", name="wake"
    )
    expect(code == 0, f"nightly --enqueue-only ended with {code}: {' '.join(said.split())}")

    def idle() -> bool:
        done = workers[0].tool("smcatalog", "jobs", "list", "--json")
        queue = json.loads(done.stdout)
        return not queue["jobs"]

    took = until("the queue is empty", idle, 900, 5)
    say(f"     the queue was empty after {took:.0f} s")
    for worker in workers:
        ended = [one for one in events(worker) if one.get("event") == "job ended"]
        counts = Counter((one["task"], one["outcome"]) for one in ended)
        did = ", ".join(f"{n} {task} {outcome}" for (task, outcome), n in sorted(counts.items()))
        status = worker.exec("cat", "/proc/1/status").stdout
        peak = int(re.findall(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)[0]) / 1024
        expect(bool(ended), f"{worker.name} did {did or 'nothing'}; {peak:.0f} MiB at most")
    stuck = json.loads(workers[0].tool("smcatalog", "jobs", "list", "--json").stdout)["quarantine"]
    expect(not stuck, f"{len(stuck)} jobs in quarantine")
    until("the planner's hour", lambda: any("products" in one for one in events(nightly)), 180)
    for one in events(nightly):
        expect(one.get("event") == "woke the workers", f"nightly --at: {json.dumps(one)}")


def serving() -> None:
    """Ask the API for the maps, one of them whole, and a piece of it."""
    step("the API")
    _, body = get("/collections/small/items?limit=100")
    items = json.loads(body)["features"]
    days = sorted(item["properties"]["datetime"][:10] for item in items)
    expect(len(items) > 0, f"{len(items)} items: {', '.join(days)}")
    if not items:
        return
    item = items[0]
    asset = item["assets"]["soil_moisture"]
    path = urlsplit(asset["href"]).path
    status, content = get(path)
    digest = hashlib.sha256(content).hexdigest()
    expect(
        status == HTTPStatus.OK and asset["file:checksum"].endswith(digest),
        f"{item['id']}: {asset['href']}: {len(content)} bytes, sha256 {digest[:16]}… as the item says",
    )
    status, piece = get(path, Range="bytes=0-15")
    expect(
        status == HTTPStatus.PARTIAL_CONTENT and piece == content[:16],
        f"a range of it: {status}, {len(piece)} bytes, {piece[:4]!r}",
    )


def troubles(
    project: Project, base: Container, api: Container, workers: list[Container], nightly: Container
) -> Container:
    """See what the health checks say when something is not well; return the new database."""
    step("health checks when something is not well")
    first, second = workers
    second.signal("STOP")
    took = until("a worker that hangs is noticed", lambda: second.check()[0] != 0, 90, 5)
    health(second, well=False)
    say(f"     ({took:.0f} s after SIGSTOP)")
    health(first, well=True)
    second.signal("CONT")
    until("it goes on", lambda: second.check()[0] == 0, 60, 2)
    health(second, well=True)
    second.signal("KILL")
    expect(
        second.wait(10) != 0, f"{second.name}: killed, its container ended with {second.wait(1)}"
    )
    code, said = project.run("worker", *second.health, name=second.name)
    expect(code != 0, f"{second.name}: without its worker the health check says {code}: {said}")
    health(first, well=True)

    base.signal("INT")  # the image's stop signal
    expect(base.wait(60) == 0, f"database: stopped, ended with {base.wait(1)}")
    for container in (api, first, nightly):
        health(container, well=False)
    again = project.start("database", "database-again")
    until("the database is back", lambda: again.check()[0] == 0, 60)
    for container in (api, first, nightly):
        until(f"{container.name} is well again", lambda c=container: c.check()[0] == 0, 60, 2)
        health(container, well=True)
    return again


def ending(base: Container, *others: Container) -> None:
    """Stop everything, as an engine does."""
    step("stopping, by SIGTERM")
    for container in others:
        began = time.monotonic()
        container.signal("TERM")
        code = container.wait(75)
        expect(
            code == 0, f"{container.name}: ended with {code} after {time.monotonic() - began:.1f} s"
        )
    base.signal("INT")
    expect(base.wait(60) == 0, f"database: ended with {base.wait(1)}")


def main() -> int:
    """Do all of it; return 1 when something was not as it should be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))  # and clear up
    with tempfile.TemporaryDirectory(prefix="smcatalog-try-") as name:
        project = prepare(Path(name))
        try:
            world(project)
            base = database(project)
            api, workers, nightly = services(project)
            restrictions(base)
            night(project, workers, nightly)
            serving()
            base = troubles(project, base, api, workers, nightly)
            ending(base, api, workers[0], nightly)
        except SystemExit as error:
            wrong.append(f"{error}")
            say(f"WRONG {error}")
            for container in project.running:
                say(f"-- {container.name}, exit code {container.process.poll()}")
                say(container.log.read_text(errors="replace")[-3000:])
        finally:
            project.close()
            project.buildah.close()
    step(f"{len(wrong)} things were not as they should be" if wrong else "all as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
