"""What the documents list is what there is."""

import re
from pathlib import Path

import pytest

from ingest.registry import READERS
from ingest.world.writers import COSTS, WRITERS
from smcatalog.database.engine import connect
from smcatalog.results.entries import ENTRIES
from smcatalog.results.page import STATIONS, page
from smcatalog.services.metrics import CatalogueCollector
from smcatalog.services.plan import Cause, DayState

ROOT = Path(__file__).parents[2]
WORLD = "docs/simulated-world.md"


def listed(document):
    """Sources in the first column of the document's table of sources."""
    table = re.search(
        r"^\| source \| format \|.*\n\| --- .*\n((?:\|.*\n)+)",
        (ROOT / document).read_text("utf-8"),
        re.MULTILINE,
    )
    return [name for row in table[1].splitlines() for name in row.split("|")[1].strip().split(", ")]


@pytest.mark.parametrize(
    ("document", "sources"),
    [("README.md", [reader.source for reader in READERS]), (WORLD, list(WRITERS))],
)
def test_sources_are_listed_once_and_no_others(document, sources):
    assert sorted(listed(document)) == sorted(sources)


def test_costs_are_those_of_writers():
    assert COSTS.keys() <= WRITERS.keys()


def operations():
    return (ROOT / "docs/operations.md").read_text("utf-8")


def test_metrics_are_listed_and_no_others():
    suffixes = {"counter": "_total", "info": "_info"}
    collector = CatalogueCollector(connect("postgresql:///nothing"))
    names = {family.name + suffixes.get(family.type, "") for family in collector.describe()}
    table = [row for row in operations().splitlines() if row.startswith("| `smcatalog_")]
    assert {name for row in table for name in re.findall(r"`(smcatalog_\w+)`", row)} == names
    # also in the examples of alerts
    assert set(re.findall(r"smcatalog_\w+", operations())) == names


def test_alerts_are_valid_yaml():
    import yaml

    blocks = re.findall(r"```yaml\n(.*?)```", operations(), re.DOTALL)
    assert [list(yaml.safe_load(block)) for block in blocks] == [["scrape_configs"], ["groups"]]


def test_all_states_and_causes_of_days_are_explained():
    rows = re.findall(r"^\| (\w+) \|([\w ,;`]*)\|", operations(), re.MULTILINE)
    assert {state for state, _ in rows} >= set(DayState)
    explained = {word for state, why in rows if state in set(DayState) for word in why.split()}
    assert {word.strip(",;") for word in explained} >= set(Cause)


def test_results_hold_a_section_for_each_product_and_nothing_else():
    text = (ROOT / "docs/results.md").read_text("utf-8")
    assert page({}, text) == text
    assert re.findall(r"^<!-- results: (.*) -->$", text, re.MULTILINE) == [
        *ENTRIES,
        STATIONS,
        "end",
    ]
