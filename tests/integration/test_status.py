"""What stands is told: to a person, and to Prometheus."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from smcatalog.core.errors import NotFoundError
from smcatalog.core.time import Period
from smcatalog.database.engine import connect, transaction
from smcatalog.database.inputs import Refusal, refuse
from smcatalog.database.migrations import head
from smcatalog.database.plan import count_states, day_states, list_days
from smcatalog.jobs import Job, enqueue
from smcatalog.products import Covariate, Partitioning, Reprocess, Step, TimeRule
from smcatalog.services.metrics import CatalogueCollector
from smcatalog.services.plan import DayState, make_plan
from smcatalog.services.standing import TroubleKind
from smcatalog.services.status import status
from smcatalog.services.webhook import address_sha256
from tests.factories import inputs as make
from tests.factories import plans
from tests.factories.commands import Place

DAYS = make.days(40)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
ELEVATION = Covariate("elevation", "D", TimeRule.STATIC)
WETNESS = Covariate("swvl1", "W", TimeRule.PERIOD_MEAN)


def definition(**changes):
    made = make.definition(
        covariates=(WETNESS, ELEVATION),
        partitions=Partitioning.SIXTEEN_DAYS,
        min_samples=1,
        training_until=DAYS[-1],
    )
    return replace(made, **changes)


def run(place, work):
    return transaction(place.engine, work)


def put(place, *arguments, **named):
    run(place, lambda c: plans.put_layer(c, *arguments, **named))


def sql(place, statement, **values):
    with place.engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.fixture
def place(database, tmp_path):
    return make.workspace(database.engine, tmp_path)


def fill(place, days):
    with place.engine.begin() as connection:
        plans.put_layer(connection, "D", "elevation", None)
        for source, variable in (("C", "sm"), ("W", "swvl1")):
            plans.put_layers(connection, source, variable, map(Period.of_day, days))


@pytest.fixture
def current(place):
    """Forty days of a product, all of them made."""
    fill(place, DAYS)
    run(place, lambda c: plans.pretend(c, definition(), LATER))
    return place


def replan(place, asked=None):
    return run(place, lambda c: make_plan(c, asked or definition(), now=LATER))


def told(place, **options):
    return status(place.engine, LATER, **options)


def troubles(found):
    return {trouble.kind: trouble.stuck for trouble in found.troubles}


# -- what stands


def test_an_empty_database_is_told_and_nothing_is_stuck(place):
    found = told(place)
    assert (found.products, found.troubles, found.stuck) == ((), (), False)
    assert (found.queue.tasks, found.queue.workers, found.store) == ((), (), ())
    assert found.database.revision == head()
    assert found.database.bytes > 0
    with pytest.raises(NotFoundError, match="no product 'tiny' is planned here; there are none"):
        told(place, products=["tiny"])


def test_a_product_that_is_current(current):
    [product] = told(current).products
    assert (product.product, product.version) == ("tiny", 1)
    assert product.days == {**dict.fromkeys(map(str, DayState), 0), "current": 40}
    assert product.settled_until == product.newest_map == product.newest_input == DAYS[-1]
    assert (product.lag_days, product.newest_by_source) == (0, {"C": DAYS[-1]})
    assert (product.reasons, product.changes_waiting) == ((), 0)
    assert not told(current).stuck


def test_what_came_in_shows_at_once_as_lag_and_as_changes_to_be_planned(current):
    new = [DAYS[-1] + timedelta(days=i) for i in (1, 2, 3)]
    for day in new:
        put(current, "C", "sm", day)
    before = told(current)
    [product] = before.products
    assert (product.lag_days, product.changes_waiting) == (3, 3)
    assert (product.newest_input, product.newest_map) == (new[-1], DAYS[-1])
    assert product.settled_until == DAYS[-1]
    # the notes were written by the database's clock, which is years before the present of this test
    assert troubles(before) == {TroubleKind.PLAN_OVERDUE: False}
    put(current, "W", "swvl1", new[0])
    put(current, "W", "swvl1", new[2])
    replan(current)
    [product] = told(current).products
    assert product.changes_waiting == 0
    assert (product.days["missing"], product.days["refused"]) == (2, 1)
    # the day between them cannot be made: it counts as settled as soon as the first one is
    assert product.settled_until == DAYS[-1]
    run(current, lambda c: plans.pretend(c, definition(), LATER))
    [product] = told(current).products
    assert (product.settled_until, product.lag_days) == (new[-1], 0)


def test_a_product_that_was_never_made_lags_by_all_that_it_could_have(place):
    fill(place, DAYS[:7])
    replan(place)
    [product] = told(place).products
    assert (product.newest_map, product.settled_until, product.lag_days) == (None, None, 7)
    assert product.days["missing"] == 7


def test_inputs_beyond_a_products_own_span_are_no_lag(current):
    run(current, lambda c: plans.pretend(c, definition(last_day=DAYS[-1]), LATER))
    put(current, "C", "sm", DAYS[-1] + timedelta(days=9))
    put(current, "C", "sm", make.FIRST - timedelta(days=9))
    [product] = told(current).products
    assert (product.lag_days, product.newest_input) == (0, DAYS[-1])


def test_a_product_that_no_layer_leads_is_compared_with_its_plan(current):
    asked = definition(name="static", step=Step.DAY, covariates=(ELEVATION,))
    run(current, lambda c: plans.pretend(c, asked, LATER))
    [product] = told(current, products=["static"]).products
    assert (product.newest_by_source, product.lag_days) == ({}, 0)
    assert product.newest_input == product.newest_map is not None


def disturb(place):
    """Make a day stale, one held, some refused and one gone, and refuse files."""
    asked = definition(reprocess=Reprocess.LISTED)
    run(place, lambda c: plans.pretend(c, asked, LATER))
    run(
        place,
        lambda c: list_days(
            c, c.scalar(text("SELECT id FROM smcatalog.products")), DAYS[30], DAYS[31]
        ),
    )
    put(place, "W", "swvl1", DAYS[20], content=1)
    put(place, "W", "swvl1", DAYS[30], content=1)
    for later in (1, 2):
        put(place, "C", "sm", DAYS[-1] + timedelta(days=later))
    with place.engine.begin() as connection:
        plans.take_layer(connection, "C", DAYS[31])
    refusals = [
        Refusal(
            name=f"C-{n}.h5", sha256=f"{n}" * 64, size=1, source=source, reason="it is truncated",
            period=Period.of_day(DAYS[-1] + timedelta(days=4 + n)) if source else None,
        )
        for n, source in enumerate(("C", "C", "C", "L", None))
    ]  # fmt: skip
    run(place, lambda c: refuse(c, refusals))
    replan(place, asked)
    return asked


def law(place, found):
    """What status says is what `day_states` says, and it adds up."""
    with place.engine.connect() as connection:
        versions = connection.execute(
            text(
                "SELECT p.name, v.id FROM smcatalog.product_versions v "
                "JOIN smcatalog.products p ON p.id = v.product_id WHERE v.active"
            )
        ).all()
        days = {name: day_states(connection, key, LATER) for name, key in versions}
        counts = count_states(connection, LATER)
    assert {p.product for p in found.products} == days.keys()
    for product in found.products:
        rows = days[product.product]
        assert {k: n for k, n in product.days.items() if n} == counts.get(product.product, {})
        assert sum(product.days.values()) == len(rows)
        told_of = Counter()
        for reason in product.reasons:
            told_of[reason.state] += reason.days
        assert {**told_of, "current": product.days["current"]} == {
            k: n for k, n in product.days.items() if n or k == "current"
        }
        unsettled = [row.day for row in rows if row.state in {"missing", "stale", "gone"}]
        settled = [row.day for row in rows if not unsettled or row.day < min(unsettled)]
        assert product.settled_until == max(settled, default=None)


def test_stale_held_refused_and_gone_days_are_told_with_their_reasons(current):
    disturb(current)
    found = told(current)
    [product] = found.products
    law(current, found)
    assert product.days == {
        "missing": 0, "stale": product.days["stale"], "gone": 1, "held": product.days["held"],
        "current": product.days["current"], "refused": 5,
    }  # fmt: skip
    assert product.days["held"] > 0
    assert product.settled_until == DAYS[29]
    refused = {reason.cause: reason for reason in product.reasons if reason.state == "refused"}
    assert refused["incomplete"].days == 2
    assert refused["incomplete"].detail == "W swvl1"
    assert refused["quarantine"].days == 3
    assert refused["quarantine"].detail == "C-2.h5: it is truncated"
    assert refused["quarantine"].last_day == DAYS[-1] + timedelta(days=6)
    held = [reason for reason in product.reasons if reason.state == "held"]
    assert {reason.held_for for reason in held} == {"listed"}
    assert found.files.refused == {"C": 3, "L": 1, "unknown": 1}
    assert len(found.files.newest) == 5
    # there may be nothing to do about files and days that are refused
    assert troubles(found) == {TroubleKind.FILES_REFUSED: False}
    assert not found.stuck


def test_many_reasons_are_told_as_few(current):
    with current.engine.begin() as connection:
        for number, day in enumerate(DAYS):
            connection.execute(
                text(
                    "UPDATE smcatalog.plan_days SET inputs_fingerprint = NULL, missing = :m WHERE day = :d"
                ),
                {"m": f"S{number // 4}", "d": day},
            )
        connection.execute(text("DELETE FROM smcatalog.map_layers"))
        connection.execute(text("DELETE FROM smcatalog.maps"))
    found = told(current)
    law(current, found)
    [product] = found.products
    assert product.days["refused"] == 40
    assert [(r.days, r.reasons) for r in product.reasons] == [(4, 1)] * 4 + [(24, 6)]
    assert product.reasons[-1].detail is None
    assert (product.reasons[-1].first_day, product.reasons[-1].last_day) == (DAYS[0], DAYS[23])


def quarantine(place, task="produce", **arguments):
    sql(
        place,
        "INSERT INTO smcatalog.quarantined_jobs (job_id, task, arguments, priority, attempts, kills, first_at, "
        "error, traceback) VALUES (9, :task, CAST(:arguments AS jsonb), 0, 5, 0, now(), "
        "E'no map of 2020-01-19\nbecause', 'Traceback')",
        task=task,
        arguments=json.dumps(arguments),
    )


def test_jobs_in_quarantine_and_jobs_without_workers_are_stuck(current):
    due = datetime.now(UTC) - timedelta(hours=2)
    jobs = [
        Job("plan", {"product": "tiny"}, not_before=due),
        Job("plan", {"product": "other"}),
        Job("fit", {"product": "tiny"}, not_before=LATER + timedelta(days=99)),
    ]
    run(current, lambda c: enqueue(c, jobs))
    found = told(current)
    assert troubles(found) == {TroubleKind.NO_WORKER: True}
    assert found.stuck
    assert {t.task: (t.running, t.waiting, t.later) for t in found.queue.tasks} == {
        "fit": (0, 0, 1),
        "plan": (0, 2, 0),
    }
    assert found.queue.oldest_waiting == due
    sql(current, "SELECT procrastinate.procrastinate_register_worker_v1()")
    sql(current, "SELECT procrastinate.procrastinate_register_worker_v1()")
    sql(current, "SELECT procrastinate.procrastinate_fetch_job_v2(ARRAY['plan'], 1)")
    found = told(current)
    assert not found.troubles
    assert [(w.worker, w.task) for w in found.queue.workers] == [(1, "plan"), (2, None)]
    assert found.queue.workers[0].arguments == {"product": "tiny"}
    assert found.queue.workers[0].started_at is not None
    sql(
        current,
        "UPDATE procrastinate.procrastinate_workers SET last_heartbeat = now() - interval '1 min'",
    )
    found = told(current)
    assert (found.queue.workers, found.queue.silent) == ((), 2)
    assert troubles(found) == {TroubleKind.NO_WORKER: True}
    quarantine(current, product="tiny", block="2020017")
    found = told(current)
    assert found.queue.quarantined == {"produce": 1}
    assert found.queue.newest[0].arguments["block"] == "2020017"
    assert TroubleKind.JOBS_QUARANTINED in troubles(found)
    sql(current, "UPDATE smcatalog.quarantined_jobs SET released_at = now()")
    assert told(current).queue.quarantined == {}


def test_jobs_that_failed_and_are_tried_again_are_no_reason_to_act(current):
    run(current, lambda c: enqueue(c, [Job("plan", {}), Job("plan", {})]))
    sql(
        current,
        "INSERT INTO smcatalog.job_troubles (job_id, failures, error) "
        "SELECT min(id), 1, 'x' FROM procrastinate.procrastinate_jobs",
    )
    sql(current, "SELECT procrastinate.procrastinate_register_worker_v1()")
    found = told(current)
    assert troubles(found) == {TroubleKind.JOBS_RETRYING: False}
    assert found.queue.count("retrying") == 1


def test_announcements_trouble_only_whoever_declared_a_receiver(current):
    sql(
        current,
        "INSERT INTO smcatalog.announcements (kind, map_id) SELECT 'new', min(id) FROM smcatalog.maps",
    )
    url = "https://example.org/hook"
    assert told(current).announcements.waiting == 1
    assert not told(current).troubles
    assert not told(current, address_sha256=address_sha256(url)).troubles
    sql(
        current,
        "INSERT INTO smcatalog.webhooks (address_sha256, failures, last_error) VALUES (:a, 3, 'no answer')",
        a=address_sha256(url),
    )
    assert troubles(told(current, address_sha256=address_sha256(url))) == {
        TroubleKind.RECEIVER_FAILING: False
    }
    assert not told(current, address_sha256=address_sha256(url + "2")).troubles
    sql(current, "UPDATE smcatalog.webhooks SET stopped_at = now()")
    found = told(current, address_sha256=address_sha256(url))
    assert troubles(found) == {TroubleKind.RECEIVER_GONE: True}
    assert "deliver --force" in found.troubles[0].message


def test_files_in_the_store_are_counted_once(place):
    label = "0" * 64
    sql(
        place,
        "INSERT INTO smcatalog.layers (source, variable, grid, key, sha256, size) VALUES "
        "('A', 'sm', 'M36', 'layers/one', :l, 70), ('B', 'sm', 'M36', 'layers/one', :l, 70), "
        "('B', 'lst_day', 'M36', 'layers/two', :l, 5)",
        l=label,
    )
    assert [(k.kind, k.files, k.bytes) for k in told(place).store] == [("layer", 2, 75)]


class Queries:
    """Counts the statements that an engine executes."""

    def __init__(self, engine):
        self.engine, self.number = engine, 0

    def _count(self, *_):
        self.number += 1

    def __enter__(self):
        event.listen(self.engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_):
        event.remove(self.engine, "before_cursor_execute", self._count)


def queries(place, work):
    with Queries(place.engine) as counted:
        work()
    return counted.number


MORE_DAYS = """
    INSERT INTO smcatalog.layers (source, variable, grid, day, start_time, end_time, key, sha256, size)
    SELECT l.source, l.variable, l.grid, l.day + n, l.start_time + make_interval(days => n),
           l.end_time + make_interval(days => n), l.key || n, l.sha256, l.size
    FROM smcatalog.layers l, generate_series(1, 5999) n WHERE l.day IS NOT NULL;
    INSERT INTO smcatalog.plan_days (product_version_id, day, start_time, end_time, partition,
                                     inputs_fingerprint, closes_at)
    SELECT d.product_version_id, d.day + n, d.start_time + make_interval(days => n),
           d.end_time + make_interval(days => n), d.partition, d.inputs_fingerprint, d.closes_at
    FROM smcatalog.plan_days d, generate_series(1, 5999) n;
    INSERT INTO smcatalog.maps (product_id, product_version_id, day, start_time, end_time, revision, item_id,
                                grid, status, fingerprint, algorithm, inputs_fingerprint, model_id)
    SELECT m.product_id, m.product_version_id, m.day + n, m.start_time + make_interval(days => n),
           m.end_time + make_interval(days => n), 1, m.item_id || '-' || n, m.grid, m.status, m.fingerprint,
           m.algorithm, m.inputs_fingerprint, m.model_id
    FROM smcatalog.maps m, generate_series(1, 5999) n
"""


def test_a_long_history_and_more_products_take_no_more_queries(place):
    fill(place, [make.FIRST])
    run(place, lambda c: plans.pretend(c, definition(), LATER))
    few = queries(place, lambda: told(place))
    scraped = queries(place, lambda: scrape(place.engine))
    for name in ("other", "third"):
        run(place, lambda c, name=name: plans.pretend(c, definition(name=name), LATER))
    sql(place, MORE_DAYS)
    with place.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE")
    found = told(place)
    assert [product.days["current"] for product in found.products] == [6000] * 3
    assert queries(place, lambda: told(place)) == few <= 14
    assert queries(place, lambda: scrape(place.engine)) == scraped <= 14


# -- metrics


def scrape(engine, **options):
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(engine, **options))
    return generate_latest(registry).decode()


def values(exposition):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


NAME = re.compile(r"smcatalog(_[a-z]+)+")
BASE_UNITS = {"seconds", "bytes"}
OTHER_UNITS = {"days", "hours", "minutes", "milliseconds", "percent", "kilobytes", "megabytes"}
LABELS = {"product", "state", "cause", "source", "task", "step", "kind", "version"}


def lint(exposition):
    """What promtool asks of names, help texts, types and units."""
    samples = [line for line in exposition.splitlines() if not line.startswith("#")]
    keys = [line.rpartition(" ")[0] for line in samples]
    assert len(set(keys)) == len(keys)
    families = list(text_string_to_metric_families(exposition))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert NAME.fullmatch(family.name), family.name
        assert not OTHER_UNITS & set(family.name.split("_")), family.name
        assert family.type in {"gauge", "counter"}, family.name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            assert sample.labels.keys() <= LABELS
            assert sample.value >= 0 or "timestamp" in family.name
        units = BASE_UNITS & set(family.name.removesuffix("_total").split("_"))
        assert all(family.name.endswith(unit) for unit in units), family.name
    return {family.name for family in families}


def test_metrics_say_what_status_says(current, database):
    disturb(current)
    run(current, lambda c: enqueue(c, [Job("plan", {})]))
    quarantine(current)
    sql(current, "SELECT procrastinate.procrastinate_register_worker_v1()")
    sql(current, "INSERT INTO smcatalog.step_totals VALUES ('produce', 7, 2, 12.5, 1000)")
    # as the API does: it reads views and no tables
    exposition = scrape(database.engine_for("smcatalog_api"))
    lint(exposition)
    found, now = values(exposition), told(current)
    [product] = now.products
    for state, number in product.days.items():
        assert found["smcatalog_maps", ("product", "tiny"), ("state", state)] == number
    of = ("product", "tiny")
    assert found["smcatalog_maps_refused", ("cause", "incomplete"), of] == 2
    assert found["smcatalog_map_lag_seconds", of] == 2 * 86_400
    newest = datetime(*DAYS[-1].timetuple()[:3], tzinfo=UTC)
    assert found["smcatalog_newest_map_timestamp_seconds", of] == newest.timestamp()
    assert (
        found["smcatalog_newest_input_timestamp_seconds", of, ("source", "C")]
        == (newest + timedelta(days=2)).timestamp()
    )
    assert found["smcatalog_plan_changes", of] == 0
    assert found["smcatalog_jobs", ("state", "waiting"), ("task", "plan")] == 1
    assert found["smcatalog_jobs_quarantined", ("task", "produce")] == 1
    assert found["smcatalog_workers", ("state", "idle")] == 1
    assert found["smcatalog_step_runs_total", ("step", "produce")] == 7
    assert found["smcatalog_step_failures_total", ("step", "produce")] == 2
    assert found["smcatalog_step_seconds_total", ("step", "produce")] == 12.5
    assert found["smcatalog_step_bytes_total", ("step", "produce")] == 1000
    assert found["smcatalog_files_refused", ("source", "unknown")] == 1
    assert found["smcatalog_store_files", ("kind", "layer")] == now.store[0].files
    assert (found["smcatalog_up",], found["smcatalog_announcements_waiting",]) == (1, 0)
    # what may be chosen is what there is
    assert lint(exposition) == {
        family.name + ("_info" if family.type == "info" else "")
        for family in CatalogueCollector(current.engine).describe()
    }


def test_scrapes_that_come_together_ask_once(current):
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(current.engine, fresh_seconds=3600))
    first = generate_latest(registry)
    assert queries(current, lambda: generate_latest(registry)) == 0
    sql(current, "INSERT INTO smcatalog.step_totals VALUES ('produce', 7, 2, 12.5, 1000)")
    assert generate_latest(registry) == first
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(current.engine, fresh_seconds=0))
    assert queries(current, lambda: generate_latest(registry)) > 0


def test_without_a_database_or_its_schema_it_is_down_and_comes_back(empty_database, database):
    nowhere = connect("postgresql://nobody@127.0.0.1:1/none")
    try:
        for engine in (nowhere, empty_database.engine):
            exposition = scrape(engine)
            assert lint(exposition) == {"smcatalog_up", "smcatalog_build_info"}
            assert values(exposition)["smcatalog_up",] == 0
    finally:
        nowhere.dispose()
    collector = CatalogueCollector(database.engine, fresh_seconds=0)
    registry = CollectorRegistry()
    registry.register(collector)
    sql(database, "ALTER VIEW views.queue RENAME TO queue_away")
    assert values(generate_latest(registry).decode())["smcatalog_up",] == 0
    sql(database, "ALTER VIEW views.queue_away RENAME TO queue")
    assert values(generate_latest(registry).decode())["smcatalog_up",] == 1


# -- commands


@pytest.fixture
def commands(database, tmp_path):
    return Place(tmp_path / "home", database.libpq_url(), database.libpq_url("smcatalog_api"))


def test_the_command_tells_a_person_and_a_machine(current, commands):
    disturb(current)
    quarantine(current, product="tiny", block="2020017")
    done = commands.run("status", code=3)
    assert done.stderr.startswith("stuck: jobs are in quarantine (1 produce)")
    lines = done.stdout.splitlines()
    assert lines[2].split()[:6] == ["tiny", "1", "2020-01-30", "2020-02-09", "2020-02-11", "2"]
    assert any("refused (incomplete)" in line and "W swvl1" in line for line in lines)
    assert any("block" in line and line.endswith(": no map of 2020-01-19") for line in lines)
    assert "because" not in done.stdout
    answer = commands.answer("status", "tiny", code=3)
    assert answer["stuck"] is True
    assert answer["products"][0]["days"]["refused"] == 5
    assert answer["products"][0]["settled_until"] == "2020-01-30"
    assert answer["troubles"][0]["kind"] == "jobs-quarantined"
    sql(current, "UPDATE smcatalog.quarantined_jobs SET released_at = now()")
    assert "stuck" not in commands.run("status").stderr
    assert "is planned here" in commands.run("status", "nothing", code=1).stderr


def test_the_metrics_are_printed_and_served(current, commands):
    printed = commands.run("metrics").stdout
    assert values(printed)["smcatalog_up",] == 1
    lint(printed)
    process = commands.start("metrics", "--serve", "--port", "0")
    try:
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own
            assert answer.headers["Content-Type"].startswith("text/plain")
            served = answer.read().decode()
        assert values(served).keys() == values(printed).keys()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_metrics_of_a_home_without_a_database_say_that_it_is_down(tmp_path):
    place = Place(tmp_path / "home", "")
    printed = place.run("metrics").stdout
    assert values(printed)["smcatalog_up",] == 0
    assert not (tmp_path / "home" / "cluster").exists()
