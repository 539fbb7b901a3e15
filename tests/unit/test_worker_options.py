import pytest

from smcatalog.core.errors import ConfigurationError, Interrupted
from smcatalog.core.settings import Settings
from smcatalog.jobs import RunningJob, WorkerOptions


def test_delays_grow_and_vary_until_attempts_are_used_up():
    options = WorkerOptions()
    assert options.max_attempts == 5
    for failures, seconds in enumerate((10, 30, 120, 600), 1):
        drawn = {options.delay(failures) for _ in range(20)}
        assert len(drawn) > 1
        assert all(0.8 * seconds <= delay <= 1.2 * seconds for delay in drawn)
    assert options.delay(5) is None


def test_options_are_read_from_texts():
    options = WorkerOptions.read(
        {"retry_seconds": "1, 2.5", "max_kills": "7", "grace_seconds": "3"}
    )
    assert (options.retry_seconds, options.max_kills, options.grace_seconds) == ((1, 2.5), 7, 3)
    assert WorkerOptions.read({"retry_seconds": ""}).max_attempts == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grace": "3"}, "'grace' is not an option"),
        ({"grace_seconds": "soon"}, "must be a number, got 'soon'"),
        ({"retry_seconds": "1,x"}, "must be numbers with commas"),
        ({"retry_seconds": "-1"}, "must be numbers with commas"),
        ({"outage_seconds": "inf"}, "must be a number"),
        ({"heartbeat_seconds": "0"}, "must be more than 0"),
        ({"stalled_seconds": "3"}, "take live ones for dead"),
        ({"max_kills": "0"}, "must be 1 or more"),
    ],
)
def test_wrong_options_are_named(values, said):
    with pytest.raises(ConfigurationError, match=said):
        WorkerOptions.read(values)


def test_settings_hold_them_and_the_file_wins(tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("[worker]\nretry_seconds = [1, 2]\nmax_kills = 9\n")
    env = {"SMCATALOG_WORKER_MAX_KILLS": "4", "SMCATALOG_WORKER_GRACE_SECONDS": "5"}
    options = WorkerOptions.read(Settings.load(config, env).worker)
    assert (options.retry_seconds, options.max_kills, options.grace_seconds) == ((1, 2), 9, 5)
    config.write_text("worker = 3")
    with pytest.raises(ConfigurationError, match="must be a table"):
        Settings.load(config, env)


def test_a_job_counts_bytes_and_stops_when_asked():
    job = RunningJob(1, "note", {}, 1, should_stop=lambda: True)
    job.count_bytes(3)
    job.count_bytes(4)
    assert job.tally.bytes == 7
    with pytest.raises(Interrupted, match="job 1"):
        job.stop_if_asked()
