"""What every reader keeps, over the whole registry: a reader is tested by being listed there."""

from __future__ import annotations

from datetime import UTC
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import shapely

from ingest.companions import companions, has_companions, neutral
from ingest.granules import examine, read
from ingest.reader import Reader
from ingest.registry import READERS, identify
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import Site, StationSeries
from smcatalog.core.variables import VARIABLES
from smcatalog.core.zones import ZoneSet
from tests.factories import granules as make
from tests.factories.corruptions import valid
from tests.factories.granules import SAMPLES, Sample

FOREIGN = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html><head><title>Earthdata Login</title></head></html>",
    "random": np.random.default_rng(7).bytes(4096),
    "zeros": b"\0" * 4096,
    "text": b"no good data here",
    "csv": b"a,b\n1,2\n",
    "hdf5 head": b"\x89HDF\r\n\x1a\n" + b"\0" * 512,
    "netcdf3 head": b"CDF\x01\0\0\0\0",
}


LONG = "SRTMGL1"
"""Of 26 MB; SRTMGL3 is read by the same code."""


@pytest.fixture(
    params=[pytest.param(s, marks=pytest.mark.long if s.source == LONG else ()) for s in SAMPLES],
    ids=str,
)
def sample(request) -> Sample:
    return request.param


@pytest.fixture
def path(sample: Sample, tmp_path: Path) -> Path:
    return valid(sample, tmp_path)


def test_every_reader_has_a_sample():
    assert {reader.source for reader in READERS} == {sample.source for sample in SAMPLES}


def test_sources_are_named_once_and_titled():
    names = [reader.source for reader in READERS]
    assert len(set(names)) == len(names)
    assert all(reader.title and reader.title != reader.source for reader in READERS)


def test_each_file_has_exactly_one_reader(sample, path):
    claims = [r.source for r in READERS if r.identify(path, sample.name) is not None]
    assert claims == [sample.source]
    reader, identity = identify(make.candidate(path))
    assert reader.source == identity.source.partition(":")[0] == sample.source


def as_from_a_zip(path: Path) -> Path:
    """Rename a file and its companions as they are called when they come out of a zip."""
    for part in companions(path.name, [beside.name for beside in path.parent.iterdir()]):
        path.with_name(part).rename(path.with_name(neutral(part, path.name, "member")))
    own = neutral(path.name, path.name, "member") if has_companions(path.name) else "member"
    return path.rename(path.with_name(own))


def test_identity_comes_from_the_delivered_name_not_from_the_path(sample, path):
    moved = as_from_a_zip(path)
    _, identity = identify(make.candidate(moved, sample.name))
    assert identity.name
    assert identity.name in sample.name


def test_yields_are_canonical(sample, path):
    values = list(read(examine(make.candidate(path))))
    assert values
    for value in values:
        match value:
            case Raster():
                assert VARIABLES[value.variable.name] == value.variable
                assert value.values.dtype == np.float32
                assert value.quality.dtype == np.uint16
                assert value.values.shape == value.grid.shape
                assert value.grid.transform.e < 0 < value.grid.transform.a
                assert value.period is None or value.period.start.tzinfo is UTC
                finite = value.values[np.isfinite(value.values)]
                assert finite.size
                assert not value.variable.out_of_range(finite).any()
            case StationSeries():
                assert value.variable in VARIABLES
                assert value.step_hours in {1, 24}
                assert value.times.dtype == np.dtype("datetime64[s]")
                assert (np.diff(value.times) > np.timedelta64(0, "s")).all()
                assert value.values.dtype == np.float32
                assert np.isfinite(value.values).all()
                assert value.flags.dtype.kind == "U"
                assert value.good.dtype == bool
            case Site():
                assert value.decimals > 0
            case ZoneSet():
                areas = shapely.from_wkb([zone.wkb for zone in value.zones])
                assert shapely.is_valid(areas).all()
                assert {area.geom_type for area in areas} == {"MultiPolygon"}
                assert all(zone.label for zone in value.zones)


def test_periods_of_yields_lie_in_the_granules(sample, path):
    granule = examine(make.candidate(path))
    whole = granule.identity.period
    for value in read(granule):
        if isinstance(value, Raster) and value.period is not None:
            assert whole is not None
            assert whole.start <= value.period.start < value.period.end <= whole.end


def test_reading_twice_gives_the_same(sample, path):
    first, second = (list(read(examine(make.candidate(path)))) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        if isinstance(one, Site | ZoneSet):
            assert one == other
        else:
            np.testing.assert_array_equal(one.values, other.values)


def test_a_reader_does_not_write(sample, path, tmp_path):
    before = {p: p.read_bytes() for p in tmp_path.rglob("*")}
    list(read(examine(make.candidate(path))))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*")} == before


@pytest.fixture(scope="module")
def all_samples(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Sample, Path]]:
    """One file of each sample; a reader does not write, as another test shows."""
    folder = tmp_path_factory.mktemp("samples")
    places = [folder / str(number) for number in range(len(SAMPLES))]
    for place in places:
        place.mkdir()
    return [(sample, valid(sample, place)) for sample, place in zip(SAMPLES, places, strict=True)]


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.source)
def test_no_reader_claims_a_file_of_another_source(reader: Reader, all_samples):
    for other, file in all_samples:
        if other.source == reader.source:
            continue
        assert reader.identify(file, other.name) is None, other.name


@pytest.mark.parametrize(("content", "sample"), list(product(FOREIGN.values(), SAMPLES)),
                         ids=[f"{c}-{s}" for c, s in product(FOREIGN, SAMPLES)])  # fmt: skip
def test_foreign_content_under_a_known_name_is_refused_with_a_reason(content, sample, tmp_path):
    path = tmp_path / sample.name
    path.write_bytes(content)
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    assert len(caught.value.reason) > 5
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_or_loses_only_whole_lines(sample, path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        values = list(read(examine(make.candidate(path))))
    except RefusedInput:
        return
    # text can be cut at the end of a line or of a number, and then nothing in it says so
    assert sample.source in {"ISMN", "station-table", "station-csv"}
    path.write_bytes(whole)
    complete = list(read(examine(make.candidate(path))))
    if isinstance(complete[0], StationSeries):
        (part,) = values
        kept = len(part.times)
        np.testing.assert_array_equal(part.times, complete[0].times[:kept])
        np.testing.assert_array_equal(part.values[:-1], complete[0].values[: kept - 1])
