"""Simulated stations: where they stand, what their probes read, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from ingest.world.defects import Defect, DefectKind, apply, defects
from ingest.world.presets import PRESETS
from ingest.world.sensors import Record, read, sensor_defects, stations
from smcatalog.core.errors import UsageError
from smcatalog.core.stations import Depth
from tests.factories.probes import FIRST, even_days, even_state, small_land

LAND = small_land()
WIDE = small_land(size_km=300.0)
HOUR = 424_000
"""Some hour since 1970."""


def _record(days=20, land=LAND, plan=None, **overrides) -> Record:
    record = Record(plan or stations(land))
    for i in range(days):
        record.add(even_state(land, FIRST + timedelta(days=i), 0.2, **overrides))
    return record


def _quiet(monkeypatch) -> None:
    monkeypatch.setattr("ingest.world.sensors.sensor_defects", lambda *_: ())


class TestPlaces:
    def test_the_number_goes_with_the_area_and_is_never_below_six(self):
        assert len(stations(LAND)) == 6
        assert 22 <= len(stations(WIDE)) <= 27

    def test_the_plan_is_the_same_at_every_call_and_another_with_another_seed(self):
        assert stations(WIDE) == stations(WIDE)
        assert stations(small_land(seed=2)) != stations(LAND)

    @pytest.mark.parametrize("name", PRESETS)
    def test_each_stands_on_land_in_the_cell_that_holds_its_place(self, name):
        land = small_land(name)
        plan = stations(land)
        cells = {(s.row, s.column) for s in plan}
        assert len(cells) == len(plan)
        assert len({s.site.station for s in plan}) == len(plan)
        assert not any(land.water[cell] for cell in cells)
        for s in plan:
            (row,), (column,), (inside,) = land.grid.locate(s.site.longitude, s.site.latitude)
            assert inside
            assert (row, column) == (s.row, s.column)
            assert s.site.network == land.preset.network
            assert s.site.elevation == pytest.approx(land.elevation[row, column], abs=0.06)
            assert "_" not in s.site.network + s.site.station

    def test_half_of_them_stand_in_clusters_within_a_coarse_cell(self):
        blocks: dict[str, list[tuple[int, int]]] = {}
        for s in stations(WIDE):
            blocks.setdefault(s.site.station.partition("-")[0], []).append(
                (s.row // 36, s.column // 36)
            )
        clusters = {name: cells for name, cells in blocks.items() if name.startswith("C")}
        assert all(len(set(cells)) == 1 for cells in clusters.values())
        assert {len(cells) for cells in clusters.values()} <= {3, 4}
        assert 0.4 <= sum(map(len, clusters.values())) / len(stations(WIDE)) <= 0.7
        assert all(len(cells) == 1 for name, cells in blocks.items() if name.startswith("P"))

    def test_each_has_a_probe_that_stands_for_the_upper_five_centimetres(self):
        kinds = set()
        for s in stations(WIDE):
            surface, *deeper = s.sensors
            assert surface.depth in {Depth(0.0, 0.05), Depth(0.05, 0.05)}
            assert surface.layer == 0
            kinds.add(surface.depth)
            layers = {one.depth.bottom: one.layer for one in deeper}
            assert layers.items() <= {0.10: 1, 0.20: 2, 0.50: 5}.items()
        assert len(kinds) == 2
        assert len({len(s.sensors) for s in stations(WIDE)}) == 3

    def test_a_world_under_water_is_refused(self):
        flooded = replace(LAND, water=np.ones(LAND.grid.shape, bool))
        with pytest.raises(UsageError, match="under water"):
            stations(flooded)


class TestReadings:
    def test_a_sound_probe_reads_its_spot_with_little_noise(self, monkeypatch):
        _quiet(monkeypatch)
        record = _record()
        for index, station in enumerate(record.stations):
            for sensor in station.sensors:
                got = read(LAND, record, index, sensor)
                expected = station.offset + station.factor * (0.2 + sensor.layer / 100)
                assert len(got.values) == 20 * 24
                assert got.values.mean() == pytest.approx(expected, abs=0.001)
                assert got.values.std() == pytest.approx(0.004, rel=0.15)
                assert set(got.flags) == {"G"}
                assert got.times[0] == np.datetime64("2018-06-01T00:00:00")
                assert got.times.dtype == np.dtype("datetime64[s]")
                assert (np.diff(got.times) == np.timedelta64(3600, "s")).all()

    def test_stations_differ_from_their_cells_as_they_are_declared_to(self):
        plan = [s for seed in range(1, 11) for s in stations(small_land(seed=seed))]
        offsets, factors = (np.array([getattr(s, k) for s in plan]) for k in ("offset", "factor"))
        assert len(plan) > 40
        assert offsets.std() == pytest.approx(0.02, rel=0.35)
        assert factors.mean() == pytest.approx(1, abs=0.04)
        assert factors.std() == pytest.approx(0.08, rel=0.35)

    def test_the_water_of_the_hour_is_what_is_read(self, monkeypatch):
        """A day of rain in the middle of which the soil goes from dry to wet."""
        _quiet(monkeypatch)
        shape = (10, *LAND.grid.shape)
        record = Record(stations(LAND))
        record.add(
            even_state(
                LAND, FIRST, before=np.full(shape, 0.1, np.float32),
                after=np.full(shape, 0.3, np.float32), rain=np.full(shape[1:], 20, np.float32),
            )
        )  # fmt: skip
        station = record.stations[0]
        values = (
            read(LAND, record, 0, station.sensors[0]).values - station.offset
        ) / station.factor
        assert values[:8] == pytest.approx(0.1, abs=0.025)
        assert values[12] == pytest.approx(0.2, abs=0.02)
        assert values[17:] == pytest.approx(0.3, abs=0.025)

    def test_the_noise_of_an_hour_does_not_depend_on_when_the_record_begins(self, monkeypatch):
        _quiet(monkeypatch)
        whole, later = _record(6), Record(stations(LAND))
        for i in range(2, 6):
            later.add(even_state(LAND, FIRST + timedelta(days=i), 0.2))
        sensor = whole.stations[1].sensors[0]
        np.testing.assert_array_equal(
            read(LAND, whole, 1, sensor).values[48:], read(LAND, later, 1, sensor).values
        )

    def test_in_frozen_ground_only_liquid_water_is_seen_and_flagged(self, monkeypatch):
        _quiet(monkeypatch)
        plan = stations(LAND)
        deep = replace(plan[0].sensors[0], depth=Depth(0.5, 0.5))
        missed = []
        for thermometer, code in ((True, "D01"), (False, "D03")):
            record = Record(tuple(replace(s, thermometer=thermometer) for s in plan))
            for i in range(90):
                frozen = np.full(LAND.grid.shape, i >= 20)
                record.add(even_state(LAND, FIRST + timedelta(days=i), 0.2, frozen=frozen))
            flagged = []
            for index, station in enumerate(plan):
                got = read(LAND, record, index, station.sensors[0])
                warm, cold = got.values[: 19 * 24], got.values[21 * 24 :]
                assert cold.mean() == pytest.approx(0.25 * warm.mean(), rel=0.1)
                assert set(got.flags[: 19 * 24]) == {"G"}
                assert set(got.flags[21 * 24 :]) <= {code, "G"}
                flagged.append((got.flags[21 * 24 :] == code).mean())
            missed.append(1 - np.mean(flagged))
            # half a metre below it does not freeze
            assert read(LAND, record, 0, deep).values.std() < 0.01
        assert missed[0] == 0
        assert 0.005 < missed[1] < 0.05

    def test_what_cannot_be_is_flagged_always(self, monkeypatch):
        sizes = {-0.5: "C01", 0.5: "C02,C03", 0.32: "C03"}
        for size, code in sizes.items():
            event = Defect(DefectKind.BIAS, 0, 10**7, size, flagged=False)
            monkeypatch.setattr("ingest.world.sensors.sensor_defects", lambda *_, e=event: (e,))
            record = _record(2)
            got = read(LAND, record, 0, record.stations[0].sensors[0])
            assert set(got.flags) == {code}

    def test_days_must_follow_each_other(self):
        record = Record(stations(LAND))
        record.add(even_state(LAND, date(2018, 6, 1)))
        with pytest.raises(UsageError, match="give every day, in order"):
            record.add(even_state(LAND, date(2018, 6, 3)))


class TestDefects:
    @pytest.mark.parametrize(
        ("kind", "size", "expected"),
        [
            (DefectKind.BIAS, 0.05, [0.2, 0.25, 0.25, 0.25, 0.25, 0.2]),
            (DefectKind.DRIFT, 0.04, [0.2, 0.21, 0.22, 0.23, 0.24, 0.2]),
            (DefectKind.BREAK, -0.1, [0.2, 0.1, 0.1, 0.1, 0.1, 0.2]),
            (DefectKind.PLATEAU, 0.03, [0.2, 0.03, 0.03, 0.03, 0.03, 0.2]),
            (DefectKind.DROPOUT, 0.0, [0.2, np.nan, np.nan, np.nan, np.nan, 0.2]),
        ],
    )
    def test_what_each_does_to_the_values(self, kind, size, expected):
        event = Defect(kind, HOUR + 1, HOUR + 5, size, flagged=False)
        values, marked = apply((event,), np.full(6, 0.2), HOUR)
        np.testing.assert_allclose(values, expected)
        assert not any(mask.any() for mask in marked.values())

    @pytest.mark.parametrize(
        ("kind", "size", "code", "hours"),
        [
            (DefectKind.SPIKE, 0.2, "D06", [1, 2]),
            (DefectKind.BREAK, -0.1, "D07", [1]),
            (DefectKind.BREAK, 0.1, "D08", [1]),
            (DefectKind.PLATEAU, 0.03, "D09", [1, 2]),
            (DefectKind.PLATEAU, 0.4, "D10", [1, 2]),
        ],
    )
    def test_what_is_found_is_flagged_as_dorigo_does(self, kind, size, code, hours):
        event = Defect(kind, HOUR + 1, HOUR + 3, size, flagged=True)
        _, marked = apply((event,), np.full(6, 0.2), HOUR)
        assert np.flatnonzero(marked.pop(code)).tolist() == hours
        assert not any(mask.any() for mask in marked.values())

    def test_one_that_began_earlier_goes_on(self):
        drift = Defect(DefectKind.DRIFT, HOUR - 2, HOUR + 2, 0.04, flagged=False)
        broken = Defect(DefectKind.BREAK, HOUR - 9, HOUR + 1, 0.1, flagged=True)
        values, marked = apply((broken, drift), np.full(3, 0.2), HOUR)
        np.testing.assert_allclose(values, [0.33, 0.24, 0.2])
        assert not marked["D08"].any()  # its moment is past

    def test_they_do_not_depend_on_the_hours_that_are_asked_for(self):
        arguments = {"rate": 1.0, "saturation": 0.42}
        year = defects(LAND, "a", HOUR, 8760, **arguments)
        assert len(year) > 20
        for first, count in ((HOUR + 3000, 500), (HOUR + 8000, 760), (HOUR, 1)):
            part = defects(LAND, "a", first, count, **arguments)
            assert part == tuple(o for o in year if o.start < first + count and o.end > first)
        assert defects(LAND, "b", HOUR, 8760, **arguments) != year

    def test_the_control_finds_a_part_of_them_and_no_bias(self):
        many = [
            one
            for key in range(40)
            for one in defects(LAND, str(key), HOUR, 8760, rate=1.0, saturation=0.42)
        ]
        assert {one.kind for one in many} == set(DefectKind)
        for kind in (DefectKind.SPIKE, DefectKind.BREAK, DefectKind.PLATEAU):
            found = np.mean([one.flagged for one in many if one.kind is kind])
            assert 0.55 < found < 0.95
        silent = (DefectKind.BIAS, DefectKind.DRIFT, DefectKind.DROPOUT)
        assert not any(one.flagged for one in many if one.kind in silent)

    def test_badly_kept_stations_have_more(self):
        plan = stations(WIDE)
        numbers = {True: [], False: []}
        for s in plan:
            numbers[s.careless].append(len(sensor_defects(WIDE, s, s.sensors[0], HOUR, 8760)))
        assert np.mean(numbers[True]) > 3 * np.mean(numbers[False])
        assert np.mean(numbers[True]) > 10

    def test_readings_have_their_recorded_defects(self):
        """The difference of a reading and a sound one is what the record of defects says."""
        record = Record(stations(LAND))
        for state in even_days(LAND, 60):
            record.add(state)
        seen = set()
        first, count = record.hours()
        for index, station in enumerate(record.stations):
            sensor = station.sensors[0]
            events = sensor_defects(LAND, station, sensor, first, count)
            got = read(LAND, record, index, sensor)
            touched = np.zeros(count, bool)
            for one in events:
                touched[max(one.start - first, 0) : one.end - first] = True
                seen.add(one.kind)
            sound = station.offset + station.factor * record.water(index, 0)
            assert np.abs(got.values - sound)[~touched].max() < 0.02
            silent = np.isnan(got.values)
            assert set(got.flags[silent]) <= {"M"}
            assert "M" not in set(got.flags[~silent])
        assert len(seen) >= 3
