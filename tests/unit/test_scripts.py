"""What can be known about scripts, locks and container files without running them."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]
SHELL_SCRIPTS = sorted(
    path
    for path in SCRIPTS
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
)
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def requirements(lock: Path) -> dict[str, str]:
    """Names and versions that a lock pins."""
    return dict(
        re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock.read_text(), re.MULTILINE)
    )


@pytest.fixture
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def test_all_scripts_and_locks_are_seen():
    assert {p.name for p in SHELL_SCRIPTS} >= {"setup", "test", "check", "lock", "run"}
    assert {p.name for p in LOCKS} == {
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-bootstrap.lock",
    }


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda p: p.name)
def test_script_is_careful_and_can_be_run(script):
    assert re.search(r"^set -e?uo pipefail$", script.read_text(), re.MULTILINE)
    assert os.access(script, os.X_OK)
    done = subprocess.run(
        ["/bin/bash", "-n", str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_has_no_objection(script):
    done = subprocess.run(
        [shutil.which("shellcheck"), str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_lock_names_no_address_and_hashes_everything(lock):
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(
        r"^\s*(-i|-f|--index|--extra-index|--find-links|--trusted)", text, re.MULTILINE
    )
    pinned = re.findall(r"^[a-z0-9][^\n]*(?:\n[ \t]+[^\n]*)*", text, re.MULTILINE)
    assert pinned
    assert [entry.split()[0] for entry in pinned if "--hash=sha256:" not in entry] == []


def test_locks_agree_and_leave_out_what_only_several_gpus_need():
    runs_on, works_with = (
        requirements(ROOT / "requirements.lock"),
        requirements(ROOT / "requirements-dev.lock"),
    )
    assert runs_on.items() <= works_with.items()
    assert "nvidia-nccl-cu12" not in works_with
    assert {"sqlalchemy", "pypgstac", "rasterio"} <= runs_on.keys()
    assert "pytest" not in runs_on


def test_setup_stops_with_one_line_when_it_may_not_install(tmp_path):
    """Without apt-get, sudo or any server in reach, and no rights: say so, change nothing."""
    copy = tmp_path / "a clone" / "scripts" / "setup"
    copy.parent.mkdir(parents=True)
    text = (ROOT / "scripts" / "setup").read_text()
    copy.write_text(
        text.replace("/usr/lib/postgresql", "/nowhere").replace(
            "may_install() {", "may_install() {\n    return 1"
        )
    )
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "basename", "dirname", "flock", "grep", "head", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    done = subprocess.run(
        ["/bin/bash", str(copy)],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install" in done.stderr
    assert "postgresql-15-postgis-3" in done.stderr
    assert not (tmp_path / "a clone" / ".venv").exists()


def test_compose_has_the_three_services_and_their_health(compose):
    services = compose["services"]
    assert {"database", "api", "worker"} <= services.keys()
    for name in ("database", "api", "worker"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    assert services["worker"]["profiles"] == ["worker"]


def test_compose_publishes_nothing_beyond_this_machine(compose):
    ports = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert ports == {"api": ["127.0.0.1:8000:8000"]}


def test_compose_services_are_locked_down(compose):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service, name
    assert compose["services"]["database"]["user"].split(":")[0] != "0"
    assert re.findall(r"^USER (\S+)", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)[
        -1
    ] == ("smcatalog")


def test_compose_holds_no_secret(compose):
    declared = compose["secrets"]
    assert all(set(secret) == {"file"} for secret in declared.values())
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= declared.keys(), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|URL", variable):
                assert str(value).startswith(("/run/secrets/", "${")), (name, variable)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/docker/secrets/" in ignored


def test_what_the_image_copies_is_let_through_and_exists():
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(
        r"^COPY (?!--from)((?:--\S+ )*)(.+)$",
        (ROOT / "docker" / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    wanted = {source for _, words in copies for source in words.split()[:-1]}
    assert wanted == let_through
    assert [name for name in wanted if not (ROOT / name).exists()] == []


def test_containers_address_of_the_database(tmp_path):
    spec = importlib.util.spec_from_file_location("entrypoint", ROOT / "docker" / "entrypoint.py")
    entrypoint = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entrypoint)
    password = tmp_path / "password"
    password.write_text("a/b@c\n")
    env = {
        "DATABASE_HOST": "db",
        "DATABASE_ROLE": "smcatalog_api",
        "DATABASE_PASSWORD_FILE": str(password),
    }
    assert entrypoint.database_url(env) == "postgresql://smcatalog_api:a%2Fb%40c@db:5432/smcatalog"
    assert entrypoint.database_url({}) is None
