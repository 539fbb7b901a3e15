import json
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smcatalog.core.encoding import NODATA, Quality, asset_kinds, decode, encode, file_stem
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.fingerprint import canonical_json, fingerprint, hash_array
from smcatalog.core.variables import LAYER_NODATA, VARIABLES, variable


@given(hnp.arrays(np.float64, (5, 7), elements=st.floats(0, 1) | st.just(np.nan)))
def test_soil_moisture_comes_back_within_half_a_step(values):
    stored = encode(values)
    assert stored.dtype == np.int16
    assert np.array_equal(stored == NODATA, np.isnan(values))
    assert np.nanmax(np.abs(decode(stored) - values), initial=0) <= 0.00005 + 1e-12


def test_extreme_soil_moisture_never_becomes_nodata():
    stored = encode(np.array([-0.9999, -5.0, 9.0]))
    assert stored.tolist() == [-9998, -9998, 32767]


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_every_variable_is_stored_finely_over_its_whole_range(name):
    kind = variable(name)
    values = np.linspace(kind.valid_min, kind.valid_max, 1001)
    stored = kind.encode(values)
    assert stored.max() < LAYER_NODATA
    assert np.abs(kind.decode(stored) - values).max() <= kind.scale / 2 + 1e-3 * kind.scale
    assert kind.encode(np.array([np.nan]))[0] == LAYER_NODATA
    assert np.isnan(kind.decode(np.array([LAYER_NODATA], np.uint16)))[0]


def test_values_outside_a_range_are_marked():
    kind = variable("silt")
    assert kind.out_of_range(np.array([-0.1, 0.0, 1.0, 1.1, np.nan])).tolist() == [
        True, False, False, True, False,
    ]  # fmt: skip


def test_unknown_variables_are_named_with_what_there_is():
    with pytest.raises(NotFoundError, match="elevation"):
        variable("elevaton")


def test_quality_bits_are_distinct_and_described():
    values = [flag.value for flag in Quality]
    assert len(set(values)) == len(values)
    assert all(value & (value - 1) == 0 and value < 2**15 for value in values)
    assert all(flag.description for flag in Quality)


def test_files_are_named_by_julian_day():
    assert file_stem("yanco", date(2018, 8, 2), "soil_moisture") == "yanco_2018214_soil_moisture"
    assert [kind.name for kind in asset_kinds()] == ["soil_moisture", "uncertainty", "quality"]


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


@given(_PLAIN)
def test_fingerprints_do_not_depend_on_the_order_of_keys(value):
    shuffled = json.loads(canonical_json(value))
    if isinstance(shuffled, dict):
        shuffled = dict(reversed(shuffled.items()))
    assert fingerprint(shuffled) == fingerprint(value)


def test_fingerprints_tell_contents_apart():
    marks = {fingerprint(v) for v in (1, "1", [1], {"a": 1}, {"a": "1"}, None, [date(2020, 1, 1)])}
    assert len(marks) == 7


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": {1, 2}, "b": b"x"}])
def test_fingerprints_of_what_is_not_plain_are_refused(value):
    with pytest.raises(UsageError):
        fingerprint(value)


def test_hashes_of_arrays_see_type_shape_and_values_not_layout():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    same = [np.asfortranarray(array), array.astype(">f4"), array.copy()]
    assert {hash_array(a) for a in same} == {hash_array(array)}
    different = [array.astype(np.float64), array.reshape(3, 2), array + 1]
    assert len({hash_array(a) for a in [array, *different]}) == 4
