"""What can be known about images, compose file and health checks without running them."""

import dataclasses
import importlib.util
import json
import re
import shlex
from importlib import resources
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from smcatalog.cli.app import app
from smcatalog.core.settings import Settings
from smcatalog.jobs import WorkerOptions, watch

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
SCHEMA = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
PROGRAMS = "/usr/local/lib/smcatalog/"
"""Where the image has our programs beside the catalogue."""
TEXT = (DOCKER / "compose.yaml").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "smcatalog")
LONG_RUNNING = sorted(name for name, service in SERVICES.items() if "restart" in service)


def module(name, monkeypatch):
    """A program of the image, loaded as it lies in the repository."""
    monkeypatch.syspath_prepend(str(DOCKER))
    spec = importlib.util.spec_from_file_location(f"image_{name}", DOCKER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def seconds(text):
    """A duration of a compose file."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_compose_file_is_one_by_its_specification():
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"api": {"comand": []}}}
    assert not validator.is_valid(broken)


def test_services():
    assert SERVICES.keys() == {"database", "migrate", "api", "worker", "nightly"}
    assert LONG_RUNNING == ["api", "database", "nightly", "worker"]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_long_has_a_health_check(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) <= seconds(check["interval"])


@pytest.mark.parametrize("name", OURS)
def test_commands_are_in_the_image_and_know_their_options(name):
    service = SERVICES[name]
    for words in [service["command"], service.get("healthcheck", {}).get("test", ["CMD"])[1:]]:
        if words[:1] == ["smcatalog"]:
            command = get_command(app).commands[words[1]]
            command.make_context(words[1], [*words[2:]], resilient_parsing=False)
        elif words:
            assert words[0] == "python"
            program = words[1].removeprefix(PROGRAMS)
            assert program != words[1]
            copied = re.search(r"^COPY --chmod=0755 (.+) " + PROGRAMS, DOCKERFILE, re.MULTILINE)[1]
            assert f"docker/{program}" in copied.split()
            assert (DOCKER / program).is_file()


def test_health_checks_are_those_that_the_program_knows(monkeypatch):
    checks = module("health", monkeypatch).CHECKS
    asked = [
        words[words.index(f"{PROGRAMS}health.py") + 1]
        for words in (SERVICES[name]["healthcheck"]["test"] for name in OURS if name != "migrate")
    ]
    assert sorted(asked) == sorted(checks)


def test_variables_are_settings():
    known = {f"SMCATALOG_{one.name.upper()}" for one in dataclasses.fields(Settings)} | {
        f"SMCATALOG_WORKER_{one.name.upper()}" for one in dataclasses.fields(WorkerOptions)
    }
    files = [DOCKER / "s3.env.example", DOCKER / "README.md", *DOCKER.glob("*.py")]
    texts = [TEXT, DOCKERFILE, *(file.read_text("utf-8") for file in files)]
    named = {name for text in texts for name in re.findall(r"SMCATALOG_[A-Z_]*[A-Z]", text)}
    assert named >= {"SMCATALOG_INBOX", "SMCATALOG_STORE", "SMCATALOG_WEBHOOK_SECRET_FILE"}
    assert named - known - {"SMCATALOG_IMAGES"} == set()


def test_nothing_is_published_beyond_this_machine():
    ports = {n: s["ports"] for n, s in SERVICES.items() if "ports" in s}
    assert ports == {"api": ["127.0.0.1:8000:8000"]}
    assert SERVICES["database"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_locked_down(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.keys().isdisjoint({"privileged", "cap_add", "pid", "network_mode", "devices"})


def test_images_run_as_ordinary_users():
    assert SERVICES["database"]["user"] == "999:999"
    for file in [DOCKER / "Dockerfile", DOCKER / "standins" / "postgis.Dockerfile"]:
        stages = re.split(r"^FROM ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
        users = [re.findall(r"^USER (\S+)", stage, re.MULTILINE)[-1:] for stage in stages]
        assert users, file
        assert all(user and user[0] not in {"root", "0"} for user in users), file
    assert all("user" not in SERVICES[name] for name in OURS)


def test_workers_can_be_many_and_may_end_their_job():
    worker = SERVICES["worker"]
    assert worker.keys().isdisjoint({"container_name", "ports", "hostname"})
    needed = WorkerOptions().grace_seconds + watch._LAST_WORDS
    assert seconds(worker["stop_grace_period"]) > needed


def test_workers_and_planner_see_the_same_inbox_and_only_they_write():
    worker, nightly = SERVICES["worker"], SERVICES["nightly"]
    assert worker["volumes"] == nightly["volumes"]
    assert worker["environment"] == nightly["environment"]
    inbox = worker["environment"]["SMCATALOG_INBOX"]
    assert any(volume.endswith(f":{inbox}:ro") for volume in worker["volumes"])
    assert all(volume.endswith(":ro") for volume in SERVICES["api"]["volumes"])


def test_no_secret_is_written_down():
    declared = COMPOSE["secrets"]
    assert all(set(secret) == {"file"} for secret in declared.values())
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= declared.keys(), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY|URL", variable):
                assert str(value).startswith(("/run/secrets/", "${")), (name, variable)
                given = str(value).removeprefix("/run/secrets/")
                assert str(value).startswith("${") or given in service["secrets"]
    example = (DOCKER / "s3.env.example").read_text("utf-8")
    assert re.findall(r"(?:KEY|TOKEN)\w*=(.+)", example) == []
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/docker/secrets/", "/docker/s3.env", "/docker/inbox/"} <= set(ignored)


def test_readme_makes_every_secret():
    readme = (DOCKER / "README.md").read_text("utf-8")
    names = re.search(r"^for name in (.+); do$", readme, re.MULTILINE)[1]
    assert set(shlex.split(names)) == COMPOSE["secrets"].keys()


def test_what_the_image_copies_is_let_through_and_exists():
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(r"^COPY (?!--from)((?:--\S+ )*)(.+)$", DOCKERFILE, re.MULTILINE)
    wanted = {source for _, words in copies for source in words.split()[:-1]}
    assert wanted == let_through
    assert [name for name in wanted if not (ROOT / name).exists()] == []


def test_address_of_the_database(tmp_path, monkeypatch):
    entrypoint = module("entrypoint", monkeypatch)
    password = tmp_path / "password"
    password.write_text("a/b@c\n")
    env = {
        "DATABASE_HOST": "db",
        "DATABASE_ROLE": "smcatalog_api",
        "DATABASE_PASSWORD_FILE": str(password),
    }
    assert entrypoint.database_url(env) == "postgresql://smcatalog_api:a%2Fb%40c@db:5432/smcatalog"
    assert entrypoint.database_url({}) is None
