import json
import subprocess
import sys

import pytest

from smcatalog.core.logs import masked
from smcatalog.jobs.values import shown


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:pass@host/db", "postgresql://me:***@host/db"),
        ("s3://k:a@b@host", "s3://k:***@host"),
        ("host=x password=geheim dbname=y", "host=x password=*** dbname=y"),
        ('{"aws_secret_access_key": "abc/+"}', '{"aws_secret_access_key": "***"}'),
        ("https://h/f?X-Amz-Signature=0a1b&day=3", "https://h/f?X-Amz-Signature=***&day=3"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("5 tokens: all spent at 10:00 by a@b.org", "5 tokens: all spent at 10:00 by a@b.org"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text, hidden):
    assert masked(text) == hidden


PROGRAM = """
import logging
import structlog
from smcatalog.core.logs import configure_logs
configure_logs("text")
configure_logs("{form}")
with structlog.contextvars.bound_contextvars(job=7):
    structlog.get_logger().info("begun", url="postgresql://a:geheim@b")
    try:
        1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
    logging.getLogger("procrastinate").info("left out")
    logging.getLogger("procrastinate").warning("of a %s", "library")
"""


def logged(form):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{form}", form)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
    assert "geheim" not in done.stderr
    return done.stderr


def test_a_line_of_json_an_event_with_what_is_bound():
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [(line["event"], line["level"], line["job"]) for line in lines] == [
        ("begun", "info", 7),
        ("failed", "error", 7),
        ("of a library", "warning", 7),
    ]
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert lines[2]["logger"] == "procrastinate"


def test_text_for_people():
    assert "begun" in logged("text")


def test_lines_about_a_job_say_what_it_is_about():
    about = {"product": "p", "partition": "2020001", "block": "2020017", "month": "2020-01"}
    assert shown({**about, "content": "0a1b", "paths": ["f"]}) == about
