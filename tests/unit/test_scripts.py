"""What can be known about scripts and locks without running them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    *(ROOT / "scripts").iterdir(),
    ROOT / ".ci" / "run",
    *(ROOT / "docker" / "standins").iterdir(),
]
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


def test_all_scripts_and_locks_are_seen():
    assert {p.name for p in SHELL_SCRIPTS} >= {
        *("setup", "test", "check", "lock", "images", "try-images", "run", "postgis-entrypoint")
    }
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
