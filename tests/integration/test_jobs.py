"""The queue and its workers, on a real database and with real processes."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from smcatalog.cli.app import app
from smcatalog.core.errors import DatabaseUnavailable, NotFoundError, UsageError
from smcatalog.jobs import (
    Job,
    Outcome,
    count_tasks,
    enqueue,
    find_job,
    is_quarantined,
    list_jobs,
    quarantined,
    release,
)
from smcatalog.jobs.transitions import recover
from tests.factories.commands import Place
from tests.factories.working import HANDLERS, SECRET, Traces, ended, start, work


@pytest.fixture
def traces(tmp_path):
    return Traces(tmp_path)


@pytest.fixture
def database(module_database):
    """The module's database with nothing in its queue."""
    with module_database.connect() as connection:
        connection.execute(
            "TRUNCATE procrastinate.procrastinate_jobs, procrastinate.procrastinate_workers, "
            "smcatalog.job_troubles, smcatalog.quarantined_jobs, smcatalog.step_totals CASCADE"
        )
    return module_database


@pytest.fixture
def engine(database):
    """Engine of the role that workers have."""
    return database.engine_for("smcatalog_writer")


@pytest.fixture
def url(database):
    return database.url_for("smcatalog_writer")


@pytest.fixture
def put(engine):
    def put(*jobs):
        with engine.begin() as connection:
            return enqueue(connection, jobs)

    return put


@pytest.fixture
def ask(engine):
    def ask(query, *arguments, **keywords):
        with engine.connect() as connection:
            return query(connection, *arguments, **keywords)

    return ask


@pytest.fixture
def processes():
    """Worker processes; none is left behind."""
    started = []

    def begin(*arguments, **keywords):
        started.append(start(*arguments, **keywords))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def rows(connection, statement):
    return [tuple(row) for row in connection.execute(text(statement))]


class TestEnqueueing:
    def test_belongs_to_the_callers_transaction(self, engine, ask, traces):
        with engine.connect() as connection:
            assert enqueue(connection, [traces.job("note", "a")]) == 1
            connection.rollback()
            assert list_jobs(connection) == []
            connection.rollback()
            enqueue(connection, [traces.job("note", "a")])
            assert ask(list_jobs) == []
            connection.commit()
        [job] = ask(list_jobs)
        assert (job.task, job.arguments["name"], job.running) == ("note", "a", False)

    def test_leaves_out_what_waits_already(self, engine, put, ask):
        jobs = [Job("plan", {"n": n}, queueing_lock=f"p{n % 2}") for n in range(4)]
        assert put(*jobs) == 2
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO smcatalog.networks (name) VALUES ('NET')"))
            assert enqueue(connection, [jobs[0], Job("other")]) == 1
        assert [job.arguments for job in ask(list_jobs)] == [{"n": 0}, {"n": 1}, {}]
        assert ask(rows, "SELECT name FROM smcatalog.networks") == [("NET",)]

    def test_thousands_take_one_statement_and_keep_their_order(self, engine, ask):
        statements = []
        with engine.begin() as connection:
            event.listen(connection, "after_cursor_execute", lambda *a: statements.append(a[2]))
            assert enqueue(connection, (Job("note", {"n": n}) for n in range(4000))) == 4000
        assert len(statements) == 1
        assert [job.arguments["n"] for job in ask(list_jobs, limit=4000)] == list(range(4000))
        assert [(t.task, t.waiting) for t in ask(count_tasks)] == [("note", 4000)]

    @pytest.mark.parametrize(
        ("job", "said"),
        [
            (Job("plan", {"x": float("nan")}), "no JSON form"),
            (Job("plan", {"x": object()}), "no JSON form"),
            (Job("plan", not_before=datetime(2020, 1, 1)), "no time zone"),  # noqa: DTZ001
        ],
    )
    def test_refuses_what_cannot_be_kept(self, engine, job, said):
        with engine.begin() as connection, pytest.raises(UsageError, match=said):
            enqueue(connection, [job])

    @pytest.mark.parametrize("role", ["smcatalog_analyst", "smcatalog_api"])
    def test_readers_have_no_part_in_it(self, database, role):
        with database.engine_for(role).connect() as connection:
            with pytest.raises(DBAPIError) as caught:
                enqueue(connection, [Job("plan")])
            assert isinstance(caught.value.orig, errors.InsufficientPrivilege)


class TestDoing:
    def test_in_order_of_priority_and_then_of_enqueueing(self, url, put, traces, ask):
        put(*(traces.job("note", name) for name in "ab"))
        put(Job("note", {"folder": str(traces.folder), "name": "first"}, priority=1))
        report = work(url)
        assert traces.lines()[::2] == ["first begins", "a begins", "b begins"]
        assert (report.count(Outcome.DONE), report.left, report.stopped) == (3, 0, False)
        assert ask(rows, "SELECT step, runs, failures, bytes FROM smcatalog.step_totals") == [
            ("note", 3, 0, 30)
        ]
        assert ask(rows, "SELECT 1 FROM procrastinate.procrastinate_jobs") == []
        assert ask(rows, "SELECT 1 FROM procrastinate.procrastinate_workers") == []

    def test_failures_are_tried_again_and_hold_up_their_lock(self, url, put, traces, ask):
        put(
            traces.job("fail", "one", times=2, lock="x"),
            traces.job("note", "same lock", lock="x"),
            traces.job("note", "free"),
        )
        report = work(url)
        assert traces.lines() == [
            *("one attempt 1", "free begins", "free ends", "one attempt 2", "one attempt 3"),
            *("same lock begins", "same lock ends"),
        ]
        assert (report.count(Outcome.RETRIED), report.count(Outcome.DONE)) == (2, 3)
        assert ask(rows, "SELECT 1 FROM smcatalog.job_troubles") == []
        assert ask(quarantined) == []

    def test_poison_goes_to_quarantine_and_comes_back_when_released(
        self, url, put, traces, ask, engine
    ):
        poison = traces.job("fail", "poison", times=3, lock="x", queueing_lock="q")
        put(poison, traces.job("note", "behind it", lock="x"))
        report = work(url)
        assert (report.count(Outcome.QUARANTINED), report.count(Outcome.DONE)) == (1, 1)
        [entry] = ask(quarantined)
        assert (entry.task, entry.attempts, entry.kills, entry.lock) == ("fail", 3, 0, "x")
        assert "in fail\n" in entry.traceback
        assert "someone:***@host" in entry.error
        assert SECRET not in entry.error + entry.traceback
        assert entry.first_at < entry.last_at
        assert ask(is_quarantined, "fail", poison.arguments)
        assert not ask(is_quarantined, "fail", {})
        assert ask(rows, "SELECT id, attempts FROM views.quarantined_jobs") == [(entry.id, 3)]
        with engine.begin() as connection:
            [released] = release(connection, [entry.id])
            with pytest.raises(NotFoundError, match=f"under {entry.id}"):
                release(connection, [entry.id])
        assert ask(find_job, released.job_id).arguments == poison.arguments
        assert ask(quarantined) == []
        assert work(url).count(Outcome.RETRIED) == 2

    def test_what_no_attempt_can_mend_is_tried_once(self, url, put, traces, ask):
        put(traces.job("refuse"))
        assert work(url).count(Outcome.QUARANTINED) == 1
        [entry] = ask(quarantined)
        assert (entry.attempts, entry.error) == (1, "RefusedInput: the file is empty")

    def test_an_equal_job_that_came_in_meanwhile_takes_over(self, url, put, traces, ask):
        twin = traces.job("twice", queueing_lock="q")

        def twice(job):
            traces.leave(f"attempt {job.attempt}")
            if job.attempt == 1:
                put(twin)
                raise RuntimeError("once")

        put(twin)
        report = work(url, {"twice": twice})
        assert traces.lines() == ["attempt 1", "attempt 2"]
        assert (report.count(Outcome.RETRIED), report.count(Outcome.DONE)) == (1, 1)
        assert ask(rows, "SELECT 1 FROM procrastinate.procrastinate_jobs") == []

    def test_a_burst_does_what_its_jobs_enqueue_and_leaves_what_is_due_much_later(
        self, url, put, traces
    ):
        later = datetime.now(UTC) + timedelta(hours=1)

        def plan(job):
            put(traces.job("note", "planned"), Job("note", {}, not_before=later))

        put(Job("plan"), Job("unknown here"))
        report = work(url, {**HANDLERS, "plan": plan})
        assert (report.count(Outcome.DONE), report.left) == (2, 1)
        assert traces.lines() == ["planned begins", "planned ends"]

    def test_lost_connections_lose_no_job(self, url, put, traces, ask, database):
        """As when the database is restarted while a job runs: its end is recorded all the same."""

        def cut(job):
            traces.leave(f"attempt {job.attempt}")
            with database.connect() as owner:
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'smcatalog_writer'"
                )

        put(Job("cut"), traces.job("note"))
        report = work(url, {**HANDLERS, "cut": cut})
        assert report.count(Outcome.DONE) == 2
        assert traces.lines() == ["attempt 1", "note begins", "note ends"]

    def test_a_worker_that_was_taken_for_dead_keeps_quiet(self, url, put, traces, engine, ask):
        def slow(job):
            traces.leave(f"attempt {job.attempt}")
            if job.attempt == 1:
                query = (
                    "SELECT id, last_heartbeat FROM procrastinate.procrastinate_workers FOR UPDATE"
                )
                with engine.begin() as connection:
                    [(worker, seen)] = connection.execute(text(query))
                    [put_back] = recover(connection, worker, seen, 3)
                assert put_back.id == job.id
                until = time.monotonic() + 20
                while not job.should_stop():
                    assert time.monotonic() < until
                    time.sleep(0.02)

        put(Job("slow"))
        report = work(url, {"slow": slow})
        assert traces.lines() == ["attempt 1", "attempt 2"]
        assert dict(report.runs) == {Outcome.LOST: 1, Outcome.DONE: 1}

    def test_a_database_without_the_queue_is_named(self, empty_database):
        with pytest.raises(DatabaseUnavailable, match="db upgrade"):
            work(empty_database.url)


class TestProcesses:
    def test_two_workers_share_the_work(self, url, put, traces, processes):
        jobs = [
            traces.job("note", f"job {n}", lock=f"lock {n % 4}" if n < 8 else None, seconds=0.1)
            for n in range(16)
        ]
        put(*jobs)
        both = [ended(process) for process in [processes(url), processes(url)]]
        assert [code for code, _ in both] == [0, 0]
        begun = [line for line in traces.lines() if line.endswith("begins")]
        assert sorted(begun) == sorted(f"job {n} begins" for n in range(16))
        for lock in range(4):
            own = [line for n in (lock, lock + 4) for line in (f"job {n} begins", f"job {n} ends")]
            assert [line for line in traces.lines() if line in own] == own
        for _, log in both:
            [mine] = [line for line in log if line["event"] == "worker started"]
            assert mine["worker"]
        done = [line for _, log in both for line in log if line["event"] == "job ended"]
        assert {line["outcome"] for line in done} == {"done"}
        assert {"job", "task", "attempt", "seconds", "worker", "timestamp"} <= done[0].keys()

    def test_the_job_of_a_killed_worker_goes_on_elsewhere(self, url, put, traces, processes, ask):
        put(traces.job("hang"))
        process = processes(url)
        traces.wait_for("hang attempt 1")
        process.kill()
        began = time.monotonic()
        (traces.folder / "go").touch()
        report = work(url)
        assert time.monotonic() - began < 30
        assert traces.lines() == ["hang attempt 1", "hang attempt 2", "hang ends"]
        assert (report.recovered, report.count(Outcome.DONE)) == (1, 1)
        assert ask(rows, "SELECT runs, failures FROM smcatalog.step_totals") == [(2, 1)]
        assert ask(rows, "SELECT 1 FROM procrastinate.procrastinate_workers") == []

    def test_a_job_that_kills_its_workers_ends_in_quarantine(
        self, url, put, traces, processes, ask
    ):
        put(traces.job("die", lock="x"), traces.job("note", lock="x"))
        quick = {"stalled_seconds": "0.8", "max_kills": "2"}
        for _ in range(2):
            code, _ = ended(processes(url, **quick))
            assert code == -signal.SIGKILL
        report = work(url, **quick)
        assert traces.lines() == ["die attempt 1", "die attempt 2", "note begins", "note ends"]
        assert report.recovered == 1
        [entry] = ask(quarantined)
        assert (entry.task, entry.attempts, entry.kills) == ("die", 2, 2)
        assert "died 2 times" in entry.error

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_a_worker_gently(self, url, put, traces, processes, ask, number):
        put(traces.job("hang"), traces.job("note"))
        process = processes(url, wait=True)
        traces.wait_for("hang attempt 1")
        process.send_signal(number)
        code, log = ended(process)
        assert code == 0
        [last] = [line for line in log if line["event"] == "job ended"]
        assert last["outcome"] == "interrupted"
        assert [(j.task, j.running, j.failures, j.kills) for j in ask(list_jobs)] == [
            *[("hang", False, 0, 0), ("note", False, 0, 0)]
        ]
        assert ask(rows, "SELECT interruptions FROM smcatalog.job_troubles") == [(1,)]

    @pytest.mark.parametrize(("signals", "grace"), [(2, "60"), (1, "0.3")])
    def test_a_deaf_job_does_not_keep_a_worker_alive(
        self, url, put, traces, processes, ask, signals, grace
    ):
        put(traces.job("deaf"))
        process = processes(url, wait=True, grace_seconds=grace)
        traces.wait_for("deaf begins")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            while '"event": "asked to stop"' not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGTERM)
        code, _ = ended(process)
        assert code == 128 + signal.SIGTERM
        assert time.monotonic() - began < 20
        [job] = ask(list_jobs)
        assert (job.running, job.failures, job.kills) == (False, 0, 0)

    def test_an_idle_worker_is_woken_by_the_commit(self, url, put, traces, processes):
        process = processes(url, wait=True, poll_seconds="600")
        put(traces.job("note", "first"))
        traces.wait_for("first ends")
        put(traces.job("note", "second"))
        traces.wait_for("second ends")
        process.terminate()
        assert ended(process)[0] == 0


class TestCommands:
    def test_from_the_queue_to_quarantine_and_back(self, url, put, tmp_path):
        broken = tmp_path / "broken.h5"
        broken.write_bytes(b"nothing")
        place = Place(tmp_path / "home", url)
        put(
            Job("ingest", {"paths": [str(broken)]}),
            Job("validate", {"product": "yanco", "month": "2019-13"}),
        )
        worked = place.run("worker", "--burst", "--json", "--name", "one", code=3)
        assert '"name": "one"' in worked.stdout
        assert '"event": "file refused"' in worked.stderr

        def run(*arguments, code=0):
            done = CliRunner().invoke(app, ["jobs", *arguments], env=place.environment())
            assert done.exit_code == code, done.output
            return done.stdout

        listed = json.loads(run("list", "--json", code=3))
        [entry] = listed["quarantine"]
        assert (listed["tasks"], entry["task"], entry["attempts"]) == ([], "validate", 1)
        assert "written as YYYY-MM" in entry["error"]
        number = str(entry["id"])
        assert "in _month" in run("show", number)
        assert f"would release {number}" in run("release", number, "--dry-run")
        [released] = json.loads(run("release", number, "--json"))
        again = str(released["job_id"])
        assert json.loads(run("show", again, "--json"))["task"] == "validate"
        assert "waiting, due now" in run("show", again)
        assert run("list").count("validate") == 2
        missing = CliRunner().invoke(app, ["jobs", "release", "77"], env=place.environment())
        assert "no job is in quarantine under 77" in str(missing.exception)

    def test_options_come_from_settings(self, tmp_path):
        config = tmp_path / "settings.toml"
        config.write_text("[worker]\nretry_second = [1, 2]\n")
        done = CliRunner().invoke(app, ["--config", str(config), "worker", "--burst"])
        assert "'retry_second' is not an option of workers" in str(done.exception)
