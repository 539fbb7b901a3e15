"""Whatever happens to a file's bytes, a reader refuses it or reads it; it never breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.granules import examine, read
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import StationSeries
from tests.factories import granules as make
from tests.factories.granules import SAMPLES, Sample

# one sample for each format and declaration suffices: the other GeoTIFFs share all their code
KEPT = [
    s
    for s in SAMPLES
    if not s.name.endswith(".tif") or s.name.startswith(("DEM", "ANUClimate_v2-0_rain"))
    if not s.source.startswith("MYD")  # the code of the other satellite's
    if s.source != "SRTMGL1"  # its tiles have 26 MB, and all code is that of SRTMGL3
]
QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=KEPT, ids=str, scope="module")
def sample(request) -> Sample:
    return request.param


@pytest.fixture(scope="module")
def whole(sample: Sample, tmp_path_factory) -> Iterator[tuple[Path, bytes]]:
    path = sample.into(tmp_path_factory.mktemp("granule"))
    yield path, path.read_bytes()
    path.unlink()


def _refused_or_sound(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        values = list(read(examine(make.candidate(path))))
    except RefusedInput:
        return
    assert values
    for value in values:
        if isinstance(value, Raster):
            finite = value.values[~np.isnan(value.values)]
            assert finite.size
            assert not value.variable.out_of_range(finite).any()
        elif isinstance(value, StationSeries):
            assert np.isfinite(value.values).all()
            assert ((value.values >= 0) & (value.values <= 1))[value.good].all()


@QUICK
@given(data=st.data())
def test_flipped_bytes(whole, data):
    path, content = whole
    damaged = bytearray(content)
    # headers are where a flip is not just another number
    limit = data.draw(st.sampled_from([min(512, len(content)), len(content)]))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, limit - 1))] = data.draw(st.integers(0, 255))
    _refused_or_sound(path, bytes(damaged))


@QUICK
@given(data=st.data())
def test_truncation(whole, data):
    path, content = whole
    _refused_or_sound(path, content[: data.draw(st.integers(0, len(content)))])


@QUICK
@given(data=st.data())
def test_a_hole_of_zeros_or_a_foreign_piece(whole, data):
    path, content = whole
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 256))
    piece = data.draw(st.sampled_from([b"\0", b"\xff", b"<html>"])) * length
    _refused_or_sound(path, content[:start] + piece[:length] + content[start + length :])
