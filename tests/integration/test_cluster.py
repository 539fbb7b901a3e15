"""The private cluster, with real servers in throw-away homes."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from smcatalog.core.errors import DatabaseUnavailable, UsageError
from smcatalog.database.cluster import Cluster, ClusterState
from smcatalog.database.cluster_binaries import find_binaries
from smcatalog.database.cluster_process import held_by

ROOT = os.geteuid() == 0
as_root_only = pytest.mark.skipif(not ROOT, reason="only root can become other users")

MakeCluster = Callable[..., Cluster]


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    try:
        find_binaries()
    except DatabaseUnavailable as error:
        pytest.skip(f"no server programs: {error}")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own belong to one user."""
    folder = Path(tempfile.mkdtemp(prefix="smc-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make(open_folder: Path) -> Iterator[MakeCluster]:
    made: list[Cluster] = []

    def _make(home: str | Path = "home", **options: bool) -> Cluster:
        cluster = Cluster(open_folder / home, **({"durable": False} | options))
        made.append(cluster)
        return cluster

    yield _make
    for cluster in made:
        cluster.destroy()


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """One running cluster for the tests that only look."""
    folder = Path(tempfile.mkdtemp(prefix="smc-", dir="/tmp"))
    folder.chmod(0o755)
    cluster = Cluster(folder / "home", durable=False)
    cluster.start()
    yield cluster
    cluster.destroy()
    shutil.rmtree(folder)


def ask(cluster: Cluster, query: str, database: str = "smcatalog") -> object:
    with psycopg.connect(cluster.libpq_url(database=database), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def do(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.libpq_url(), autocommit=True) as connection:
        connection.execute(statement)


def owner_of_process(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def as_user(name: str, work: Callable[[], object]) -> object:
    """Run a function as another user and return what it returns (JSON), or its error's text.

    A fork, not a new interpreter: the user may be unable to enter the folder of ours.
    """
    entry = pwd.getpwnam(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            os.chdir("/")
            answer = json.dumps(work())
        except BaseException as error:  # noqa: BLE001 - the child must end here
            answer = json.dumps(f"{type(error).__name__}: {error}")
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def a_user(*but: str) -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("nobody", "daemon", "games"):
        if name in names and name not in but:
            return name
    pytest.skip("this machine has none of the users nobody, daemon, games")


def test_nothing_is_made_before_the_first_start(make):
    cluster = make()
    assert cluster.status().state is ClusterState.ABSENT
    assert cluster.stop().state is ClusterState.ABSENT
    assert not cluster.exists
    assert not cluster.home.exists()


def test_start_status_and_stop_can_be_repeated(make):
    cluster = make()
    first = cluster.start()
    assert first.state is ClusterState.RUNNING
    assert first.version is not None
    assert int(first.version.split(".")[0]) >= 15
    assert cluster.start() == first == cluster.status()

    assert cluster.stop().state is ClusterState.STOPPED
    assert cluster.stop().pid is None

    again = cluster.start()
    assert again.pid != first.pid
    assert ask(cluster, "SELECT current_database()") == "smcatalog"


def test_the_server_is_private_and_not_root(running):
    status = running.status()
    assert owner_of_process(status.pid) != 0
    assert status.data_directory.stat().st_mode & 0o777 == 0o700
    assert status.socket_dir.stat().st_mode & 0o777 == 0o700
    assert ask(running, "SHOW listen_addresses") == ""
    assert ask(running, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'peer'") == 0


def test_settings_of_a_durable_cluster(make):
    cluster = make(durable=True)
    cluster.start()
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "shared_buffers": "512MB",
        "work_mem": "32MB",
        "max_connections": "60",
        "jit": "off",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    assert {name: ask(cluster, f"SHOW {name}") for name in wanted} == wanted
    assert ask(cluster, "SELECT datcollate FROM pg_database WHERE datname = 'smcatalog'") in {
        "C.UTF-8",
        "C",
    }


def test_tests_may_give_up_durability(running):
    assert ask(running, "SHOW fsync") == "off"


def test_postgis_can_be_created(running):
    do(running, "CREATE EXTENSION postgis")
    assert ask(running, "SELECT ST_AsText(ST_Point(1, 2))") == "POINT(1 2)"


def test_two_homes_do_not_meet(make):
    one, two = make("one"), make("two")
    a, b = one.start(), two.start()
    assert a.pid != b.pid
    assert a.socket_dir != b.socket_dir
    do(one, "CREATE TABLE only_here (n int)")
    assert ask(one, "SELECT to_regclass('only_here')::text") == "only_here"
    assert ask(two, "SELECT to_regclass('only_here')::text") is None
    one.stop()
    assert two.status().state is ClusterState.RUNNING


def test_two_processes_start_it_at_once(make):
    cluster = make()
    program = (
        "import sys; from pathlib import Path; from smcatalog.database.cluster import Cluster;"
        "print(Cluster(Path(sys.argv[1]), durable=False).start().pid)"
    )
    package_root = Path(__file__).parents[2]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(cluster.home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=package_root,
        )
        for _ in range(3)
    ]
    answers = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], answers
    assert {out.strip() for out, _ in answers} == {str(cluster.status().pid)}


def test_database_comes_back_when_it_is_missing(running):
    with psycopg.connect(running.libpq_url(database="postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE smcatalog")
    running.start()
    assert ask(running, "SELECT current_database()") == "smcatalog"


@pytest.mark.parametrize("home", ["d" * 60 + "/" + "e" * 60, "with space, comma and é"])
def test_home_whose_path_cannot_hold_a_socket(make, home):
    cluster = make(home)
    status = cluster.start()
    assert cluster.home not in status.socket_dir.parents
    assert status.socket_dir.stat().st_mode & 0o777 == 0o700
    assert status.socket_dir.stat().st_uid == owner_of_process(status.pid)
    assert cluster.home in status.data_directory.parents
    assert ask(cluster, "SELECT 1") == 1
    cluster.stop()
    assert not status.socket_dir.exists()


def test_socket_is_found_by_a_process_with_another_temporary_folder(make, monkeypatch, tmp_path):
    cluster = make("d" * 100)
    cluster.start()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ask(Cluster(cluster.home), "SELECT 1") == 1


@as_root_only
def test_socket_directory_of_somebody_else_is_refused(make):
    cluster = make("d" * 100)
    trap = cluster.status().socket_dir
    trap.mkdir(mode=0o777)
    try:
        intruder = pwd.getpwnam(a_user("nobody"))
        os.chown(trap, intruder.pw_uid, intruder.pw_gid)
        with pytest.raises(DatabaseUnavailable, match="is not a directory of user"):
            cluster.start()
    finally:
        trap.rmdir()
    assert cluster.start().state is ClusterState.RUNNING


def test_killed_server_is_started_again_and_keeps_its_data(make):
    cluster = make(durable=True)
    killed = cluster.start()
    do(cluster, "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(killed.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while cluster.status().pid == killed.pid and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (killed.data_directory / "postmaster.pid").exists()
    assert cluster.status().state is ClusterState.STOPPED
    assert cluster.stop().state is ClusterState.STOPPED
    assert cluster.start().pid != killed.pid
    assert ask(cluster, "SELECT n FROM kept") == 7


def test_stale_pid_file_that_names_another_program(make):
    cluster = make()
    cluster.start()
    pid_file = cluster.data_directory / "postmaster.pid"
    old = pid_file.read_text().splitlines()
    cluster.stop()
    # a process of the server's own user: PostgreSQL alone would refuse to start
    stranger = subprocess.Popen(
        ["/bin/sleep", "60"], user=cluster.data_directory.stat().st_uid if ROOT else None
    )
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *old[1:]]) + "\n")
        assert cluster.status().state is ClusterState.STOPPED
        assert cluster.start().pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_half_made_data_directory_is_made_again(make):
    cluster = make()
    cluster.start()
    cluster.stop()
    unfinished = cluster.data_directory.parent / "data.unfinished"
    cluster.data_directory.rename(unfinished)  # as far as initdb gets before the last step
    (unfinished / "postgresql.conf").unlink()
    assert cluster.status().state is ClusterState.ABSENT
    cluster.start()
    assert not unfinished.exists()
    assert ask(cluster, "SELECT 1") == 1


def test_server_that_cannot_start_says_why(make):
    cluster = make()
    cluster.start()
    cluster.stop()
    (cluster.data_directory / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"):
        cluster.start()
    (cluster.data_directory / "postgresql.auto.conf").write_text("")


def test_destroy_leaves_nothing_running(make):
    cluster = make()
    status = cluster.start()
    cluster.destroy()
    assert held_by(status.data_directory) == []
    assert not status.data_directory.parent.exists()
    assert cluster.status().state is ClusterState.ABSENT


def test_urls_work_with_both_libraries_whatever_the_environment(running, monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "/nowhere")
    engine = sa.create_engine(running.url())
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT current_user")) == "smcatalog"
    engine.dispose()
    done = subprocess.run(
        [find_binaries().program("psql"), running.libpq_url(), "-Atc", "SELECT 41 + 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "42"


def test_other_roles_connect_without_passwords(running):
    do(running, "CREATE ROLE smcatalog_api LOGIN")
    with psycopg.connect(running.libpq_url(role="smcatalog_api")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("smcatalog_api",)
    do(running, "CREATE ROLE stranger LOGIN")
    with pytest.raises(UsageError, match="no role 'stranger'"):
        running.url(role="stranger")
    foreign = running.libpq_url().replace("smcatalog@", "stranger@")
    with pytest.raises(psycopg.OperationalError, match=r"[Pp]eer authentication"):
        psycopg.connect(foreign)


def test_home_that_cannot_be_made(open_folder):
    (open_folder / "file").write_text("not a folder")
    with pytest.raises(DatabaseUnavailable, match="cannot be written"):
        Cluster(open_folder / "file" / "home").start()


@as_root_only
def test_root_in_a_closed_home_keeps_the_data_apart(open_folder):
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster(closed / "home", durable=False)
    try:
        status = cluster.start()
        assert status.data_directory.parents[1] == Path("/var/lib/smcatalog")
        assert (status.data_directory.parent / "home").read_text().strip() == str(cluster.home)
        assert owner_of_process(status.pid) != 0
        closed.chmod(0o755)  # what exists stays where it is
        assert Cluster(cluster.home).status().pid == status.pid
    finally:
        cluster.destroy()
    assert not status.data_directory.parent.exists()


@as_root_only
def test_an_ordinary_user_has_everything_in_the_home(open_folder):
    user = a_user()
    entry = pwd.getpwnam(user)
    open_folder.chmod(0o700)
    os.chown(open_folder, entry.pw_uid, entry.pw_gid)
    home = open_folder / "home"

    def life() -> object:
        cluster = Cluster(home, durable=False)
        started = cluster.start()
        answer = ask(cluster, "SELECT current_user::text")
        return [started.state, started.user, str(started.data_directory), answer]

    assert as_user(user, life) == ["running", user, str(home / "cluster/data"), "smcatalog"]

    # root, at the same home, meets that very server and runs it as its owner
    seen = Cluster(home, durable=False)
    try:
        assert owner_of_process(seen.status().pid) == entry.pw_uid
        assert ask(seen, "SELECT 1") == 1
        seen.stop()
        assert owner_of_process(seen.start().pid) == entry.pw_uid
        assert as_user(user, lambda: Cluster(home).stop().state) == "stopped"
    finally:
        seen.destroy()


@as_root_only
def test_other_users_are_told_whose_it_is_and_cannot_connect(running):
    user = a_user()
    answer = as_user(user, lambda: Cluster(running.home).start().state)
    assert "DatabaseUnavailable" in str(answer)
    address = running.libpq_url()

    def connect() -> str:
        with psycopg.connect(address) as connection:
            return str(connection.info.user)

    assert "OperationalError" in str(as_user(user, connect))
