"""What the documents list is what there is."""

import re
from pathlib import Path

import pytest

from ingest.registry import READERS
from ingest.world.writers import COSTS, WRITERS

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
