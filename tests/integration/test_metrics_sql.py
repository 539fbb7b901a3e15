"""Scores in SQL, in Python and by pytesmo on the same pairs."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from smcatalog.core.moments import Moments
from smcatalog.database.engine import transaction
from smcatalog.database.metrics import Grouping, group_moments
from smcatalog.database.statistics import refresh_statistics
from smcatalog.validation.metrics import Scores
from tests.factories.catalogue import GRID, Catalogue, centre

FIRST = date(2018, 11, 10)
SCORES = ("bias", "rmse", "ubrmse", "mae", "r", "slope")
TOLERANCE = 1e-6


class Pairs:
    """A product with generated match-ups, and the same pairs as a table in memory."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.product = catalogue.product()
        self.version = catalogue.version(self.product)
        model = catalogue.model(self.version)
        random = np.random.default_rng(7)
        place = centre(GRID, 5, 5)
        primary = catalogue.station("A", "a1", place)
        self.stations = {
            ("A", "a1"): primary,
            ("A", "a2"): catalogue.station("A", "a2", place),
            ("B", "b1"): catalogue.station("B", "b1", place, twin=primary),
            ("B", "b2"): catalogue.station("B", "b2", place),
            # two stations of one network at one place that a third network also knows
            ("B", "b3"): catalogue.station("B", "b3", place, twin=primary),
        }
        sensors = {name: catalogue.sensor(key) for name, key in self.stations.items()}
        rows = []
        with catalogue.engine.begin() as connection:
            for number, week in enumerate(range(30)):
                day = FIRST + timedelta(days=6 * week)
                map_id = connection.exec_driver_sql(
                    "INSERT INTO smcatalog.maps (product_id, product_version_id, day, start_time, "
                    "end_time, revision, item_id, grid, status, fingerprint, model_id) VALUES "
                    "(%s, %s, %s, %s, %s, 1, %s, 'M01', 'final', %s, %s) RETURNING id",
                    (
                        *(self.product, self.version, day, f"{day} 00:00Z"),
                        *(f"{day + timedelta(days=1)} 00:00Z", f"i{number}", "f" * 64, model),
                    ),
                ).scalar_one()
                for name, sensor in sensors.items():
                    if name == ("A", "a1") and day.month == 1:
                        continue  # its twins stand in for it in that month
                    reference = random.uniform(0.05, 0.45)
                    estimate = reference * 0.6 + 0.1 + random.normal(0, 0.04)
                    coarse = reference * 0.3 + 0.2 + random.normal(0, 0.05)
                    if random.random() < 0.1:
                        estimate = None
                    if random.random() < 0.1:
                        coarse = None
                    connection.exec_driver_sql(
                        "INSERT INTO smcatalog.matchups "
                        "(map_id, sensor_id, band, reference, n_days, estimate, coarse) "
                        "VALUES (%s, %s, 1, %s, 1, %s, %s)",
                        (map_id, sensor, reference, estimate, coarse),
                    )
                    rows.append((day, *name, reference, estimate, coarse))
        columns = ["day", "network", "station", "reference", "estimate", "coarse"]
        frame = pd.DataFrame(rows, columns=columns).dropna(subset=["estimate"])
        frame["month"] = [day.replace(day=1) for day in frame["day"]]
        frame["site"] = [
            self.stations["A", "a1"] if s in {"a1", "b1", "b3"} else self.stations[n, s]
            for n, s in zip(frame["network"], frame["station"], strict=True)
        ]
        frame["key"] = [
            self.stations[n, s] for n, s in zip(frame["network"], frame["station"], strict=True)
        ]
        self.frame = frame.astype({"estimate": float, "coarse": float})

    def counted(self, keys: list[str], frame: pd.DataFrame) -> pd.DataFrame:
        """Leave out all but the earliest known station of each site in each group."""
        earliest = frame.groupby([*keys, "site"])["key"].transform("min")
        return frame[frame["key"] == earliest]


@pytest.fixture(scope="module")
def pairs(module_database, tmp_path_factory):
    made = Pairs(Catalogue(module_database.engine, tmp_path_factory.mktemp("store")))
    changed = transaction(module_database.engine, lambda c: refresh_statistics(c, made.product))
    assert changed > 0
    return made


def by_pytesmo(frame: pd.DataFrame, column: str) -> dict[str, float]:
    from pytesmo import metrics

    both = frame.dropna(subset=[column])
    estimate, reference = both[column].to_numpy(), both["reference"].to_numpy()
    return {
        "bias": metrics.bias(estimate, reference),
        "rmse": metrics.rmsd(estimate, reference),
        "ubrmse": metrics.ubrmsd(estimate, reference),
        "mae": np.abs(estimate - reference).mean(),
        "r": metrics.pearson_r(estimate, reference),
        "slope": np.polyfit(reference, estimate, 1)[0],
    }


KEYS = {
    "station_metrics": ["network", "station"],
    "network_metrics": ["network"],
    "month_metrics": ["month"],
    "product_metrics": [],
}


@pytest.mark.parametrize("view", KEYS)
def test_views_agree_with_pytesmo(pairs, view):
    keys = KEYS[view]
    found = pairs.catalogue.rows(f"SELECT * FROM views.{view}")
    frame = pairs.counted(keys, pairs.frame)
    groups = dict(list(frame.groupby(keys))) if keys else {(): frame}
    assert len(found) == len(groups)
    for row in found:
        group = groups[tuple(row[key] for key in keys)]
        assert row["n"] == len(group)
        assert row["coarse_n"] == group["coarse"].notna().sum()
        assert row["stations"] == group["key"].nunique()
        assert (row["depth_top"], row["depth_bottom"]) == (0.0, 0.05)
        for name, value in by_pytesmo(group, "estimate").items():
            assert row[name] == pytest.approx(value, abs=TOLERANCE), name
        for name, value in by_pytesmo(group, "coarse").items():
            assert row[f"coarse_{name}"] == pytest.approx(value, abs=TOLERANCE), name


WINDOWS = [
    (None, None),
    (date(2018, 12, 1), date(2019, 2, 28)),  # whole months
    (date(2018, 12, 7), date(2019, 3, 17)),  # cut at both ends
    (date(2019, 1, 3), date(2019, 1, 20)),  # within one month
    (date(2018, 11, 1), date(2019, 1, 16)),
    (None, date(2019, 1, 16)),
    (date(2019, 1, 16), None),
]
GROUPS = {
    Grouping.STATION: ["network", "station"],
    Grouping.NETWORK: ["network"],
    Grouping.MONTH: ["month"],
    Grouping.ALL: [],
}


@pytest.mark.parametrize(
    ("by", "window", "network"),
    [*itertools.product(GROUPS, WINDOWS, [None]), (Grouping.ALL, WINDOWS[2], "B")],
)
def test_windows_agree_with_the_pairs(pairs, by, window, network):
    keys = GROUPS[by]
    first, last = window
    frame = pairs.frame
    frame = frame[(frame["day"] >= (first or date.min)) & (frame["day"] <= (last or date.max))]
    if network:
        frame = frame[frame["network"] == network]
    frame = pairs.counted(keys, frame)
    groups = dict(list(frame.groupby(keys))) if keys else {(): frame}
    with pairs.catalogue.engine.connect() as connection:
        found = group_moments(
            connection, pairs.product, by=by, first=first, last=last, network=network
        )
    assert len(found) == len(groups) > 0
    for row in found:
        group = groups[tuple(getattr(row, key) for key in keys)]
        for column, moments in (("estimate", row.map), ("coarse", row.coarse)):
            expected = Moments.of(group[column].to_numpy(), group["reference"].to_numpy())
            assert moments.n == expected.n
            for name in SCORES:
                value = getattr(Scores.of(expected), name)
                assert getattr(Scores.of(moments), name) == pytest.approx(
                    value, abs=TOLERANCE, nan_ok=True
                )
        assert row.stations == group["key"].nunique()


def test_a_twin_counts_where_its_primary_is_missing(pairs):
    january = pairs.catalogue.rows(
        "SELECT n, stations FROM views.month_metrics WHERE month = '2019-01-01'"
    )
    frame = pairs.frame[pairs.frame["month"] == date(2019, 1, 1)]
    assert "a1" not in set(frame["station"])
    assert {"b1", "b3"} <= set(frame["station"])
    assert january[0]["n"] == (frame["station"] != "b3").sum()


def test_one_pair_and_constant_sides_have_no_correlation(database, tmp_path):
    catalogue = Catalogue(database.engine, tmp_path)
    query = "SELECT * FROM smcatalog.scores(:n, :e, :r, :ve, :vr, :c, :s)"
    one = catalogue.rows(query, n=1, e=0.3, r=0.2, ve=0, vr=0, c=0, s=0.1)
    assert one[0]["rmse"] == pytest.approx(0.1)
    assert one[0]["ubrmse"] is one[0]["r"] is one[0]["slope"] is None
    constant = catalogue.rows(query, n=9, e=0.3, r=0.2, ve=1e-30, vr=0.5, c=1e-16, s=0.9)
    assert constant[0]["r"] is None
    assert constant[0]["slope"] == pytest.approx(2e-16)
    assert catalogue.rows(query, n=0, e=0, r=0, ve=0, vr=0, c=0, s=0) == []


def test_moments_far_from_zero_do_not_cancel(database):
    """A level of 1e6 beside a spread of 1e-3: raw sums of squares would lose it all."""
    random = np.random.default_rng(3)
    reference = 1e6 + random.normal(0, 1e-3, 500)
    estimate = reference + random.normal(0, 1e-3, 500)
    with database.connect() as connection:
        found = connection.execute(
            "SELECT regr_syy(e, r), regr_sxx(e, r), regr_sxy(e, r) "
            "FROM unnest(%s::float8[], %s::float8[]) AS t (e, r)",
            [estimate.tolist(), reference.tolist()],
        ).fetchone()
    expected = Moments.of(estimate, reference)
    assert found == pytest.approx(
        (expected.m2_estimate, expected.m2_reference, expected.co_moment), rel=1e-4
    )
