"""Zones: files that are polygons of zones and files that are not, and the raster that is made of them."""

from __future__ import annotations

import sqlite3
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer

from ingest import zone_raster as rasters
from ingest.checks import checked
from ingest.files import walk
from ingest.granules import examine, read
from ingest.polygons import as_wkb
from ingest.sources import zones_writer
from ingest.zone_raster import zone_raster
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.zones import Zone, ZoneSet, zone_set_name
from tests.factories import granules as make
from tests.factories.probes import small_land, written
from tests.factories.vectors import squares, zones

M01 = grid("M01")
CELL = M01.cell[0]
EASE = "EPSG:6933"
ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lon_0=105 +datum=WGS84 +units=m +type=crs"
WINDOW = M01.window(slice(2900, 2940), slice(27400, 27460))
OGR2OGR, OGRINFO = which("ogr2ogr"), which("ogrinfo")
FORMATS = pytest.mark.parametrize("name", ["z.gpkg", "z.shp"])


def yielded(path: Path, name: str | None = None) -> list:
    return list(read(examine(make.candidate(path, name))))


def set_of(path: Path, name: str | None = None) -> ZoneSet:
    return yielded(path, name)[0]


def refusal(path: Path, name: str | None = None) -> str:
    with pytest.raises(RefusedInput) as caught:
        yielded(path, name)
    return caught.value.reason


def areas(found: ZoneSet) -> list:
    return [*shapely.from_wkb([zone.wkb for zone in found.zones])]


def cells(rows: slice, columns: slice) -> shapely.Polygon:
    """Return a rectangle of whole cells of the window, in metres of EASE-Grid 2.0."""
    box = WINDOW.window(rows, columns).geobox.boundingbox
    return shapely.box(box.left, box.bottom, box.right, box.top)


def degrees(polygon: shapely.Polygon) -> shapely.Polygon:
    back = Transformer.from_crs(EASE, "EPSG:4326", always_xy=True)
    return shapely.transform(polygon, back.transform, interleaved=False)


def made_of(*polygons: shapely.Polygon) -> ZoneSet:
    """Return a set of polygons in metres of EASE-Grid 2.0, numbered from 1 on."""
    geometries = [shapely.MultiPolygon([degrees(p)]) for p in polygons]
    return ZoneSet(
        "made", tuple(Zone(i, str(i), as_wkb(g)) for i, g in enumerate(geometries, start=1))
    )


def change(path: Path, *statements: str) -> None:
    """Change a GeoPackage as plain SQLite can: without its triggers, which call functions of GDAL."""
    with closing(sqlite3.connect(path)) as database, database:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in database.execute(triggers).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)


def last_change(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT last_change FROM gpkg_contents").fetchone()[0]


def geodesic_km2(geometry) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(geometry)[0]) / 1e6


class TestValues:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("Terrain zones", "terrain-zones"),
            ("安徽 流域", "安徽-流域"),
            ("50% (v2.1)", "50-v2-1"),
            ("_a_b_", "a_b"),
            ("Ａ１", "a1"),
            ("!!!", ""),
        ],
    )
    def test_names_of_sets(self, text, name):
        assert zone_set_name(text) == name
        assert zone_set_name(name) == name

    @pytest.mark.parametrize(("number", "label"), [(0, "a"), (65535, "a"), (1, " "), (1, "a\0")])
    def test_a_zone_has_a_number_and_a_label(self, number, label):
        with pytest.raises(UsageError):
            Zone(number, label, b"")

    def test_a_set_has_each_number_once_in_order(self):
        one, two = Zone(1, "a", b""), Zone(2, "b", b"")
        assert ZoneSet("s", (two, one)).zones == (one, two)
        for wrong in ((), (one, one)):
            with pytest.raises(UsageError):
                ZoneSet("s", wrong)
        with pytest.raises(UsageError, match="cannot be called"):
            ZoneSet("A set", (one,))


class TestReading:
    @FORMATS
    def test_polygons_numbers_and_labels_come_back(self, tmp_path, name):
        planted = squares()
        columns = {"Area": [1.5, 2.5, 3.5], "ZONE_ID": [7, 3, 65534], "Name": ["安徽", "50 %", "ü"]}
        found = set_of(zones(tmp_path / name, planted, columns))
        assert found.name == "z"
        assert [(z.number, z.label, z.mended) for z in found.zones] == [
            (3, "50 %", False),
            (7, "安徽", False),
            (65534, "ü", False),
        ]
        for back, number in zip(areas(found), (1, 0, 2), strict=True):
            assert shapely.equals(back, planted[number])

    def test_both_formats_give_equal_sets(self, tmp_path):
        one, other = (set_of(zones(tmp_path / name)) for name in ("z.gpkg", "z.shp"))
        assert one == other

    @FORMATS
    def test_features_of_one_number_are_one_zone(self, tmp_path, name):
        columns = {"zone": [1, 2, 1, 1], "label": ["a", "b", "a", "a"]}
        polygons = [*squares(3), shapely.box(110, 37, 111, 38)]
        found = set_of(zones(tmp_path / name, polygons, columns))
        assert [z.label for z in found.zones] == ["a", "b"]
        first, _ = areas(found)
        assert len(first.geoms) == 3
        assert first.area == pytest.approx(1.02)

    @pytest.mark.parametrize(
        ("columns", "numbers", "labels"),
        [
            ({"id": [4, 5, 6]}, [4, 5, 6], ["4", "5", "6"]),
            ({"zone": ["x", "y", "z"], "Id": [4, 5, 6]}, [4, 5, 6], ["4", "5", "6"]),
            ({"zone": [4.0, 5.0, 6.0], "label": ["x", "", None]}, [4, 5, 6], ["x", "5", "6"]),
        ],
    )
    def test_columns_are_found_by_name_and_kind(self, tmp_path, columns, numbers, labels):
        found = set_of(zones(tmp_path / "z.gpkg", squares(), columns))
        assert [z.number for z in found.zones] == numbers
        assert [z.label for z in found.zones] == labels

    def test_the_key_of_a_geopackage_may_be_the_number(self, tmp_path):
        path = zones(tmp_path / "z.gpkg", squares(), {"name": ["x", "y", "z"]})
        change(path, "ALTER TABLE zones RENAME COLUMN fid TO id")
        assert [(z.number, z.label) for z in set_of(path).zones] == [(1, "x"), (2, "y"), (3, "z")]

    def test_a_table_without_places_does_not_matter(self, tmp_path):
        path = zones(tmp_path / "z.gpkg")
        change(
            path,
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, remark TEXT)",
            "INSERT INTO gpkg_contents (table_name, data_type) VALUES ('notes', 'attributes')",
        )
        assert len(set_of(path).zones) == 3

    def test_parts_in_capitals_and_in_a_zip(self, tmp_path):
        whole = set_of(zones(tmp_path / "BASINS.shp"))
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
            for part in sorted(tmp_path.glob("BASINS.*")):
                out.write(part, f"inner/{part.name}")
                part.rename(part.with_name(part.stem + part.suffix.upper()))
        (lone,) = walk([tmp_path / "BASINS.SHP"])
        assert next(read(examine(lone))) == whole
        for packed in walk([tmp_path / "b.zip"]):
            assert next(read(examine(packed))) == whole
            assert len(packed.files) == 5

    def test_a_name_that_looks_like_a_query_or_an_archive(self, tmp_path):
        path = zones(tmp_path / "z.gpkg")
        path = path.rename(tmp_path / "50%41 a.zip!b?mode=rw#.gpkg")
        assert len(set_of(path).zones) == 3

    @pytest.mark.parametrize(
        ("text", "mark", "outcome"),
        [
            ("utf-8", None, "安徽"),
            ("gbk", "GBK", "安徽"),
            ("gbk", None, r"name its encoding in a \.cpg"),
            ("gbk", "UTF-8", "not in the encoding it states"),
        ],
    )
    def test_text_of_shapefiles(self, tmp_path, text, mark, outcome):
        path = zones(tmp_path / "z.shp", squares(1), {"zone": [1], "name": ["安徽"]})
        table, page = path.with_suffix(".dbf"), path.with_suffix(".cpg")
        table.write_bytes(table.read_bytes().replace("安徽".encode(), "安徽".encode(text).ljust(6)))
        page.unlink()
        if mark:
            page.write_text(mark)
        if outcome == "安徽":
            assert set_of(path).zones[0].label == outcome
        else:
            with pytest.raises(RefusedInput, match=outcome):
                yielded(path)


class TestSystems:
    @FORMATS
    @pytest.mark.parametrize("crs", [ALBERS, "EPSG:32648", EASE, "EPSG:2263"])
    def test_polygons_in_metres_or_feet_come_to_degrees(self, tmp_path, name, crs):
        place = (105.0, 37.0) if crs != "EPSG:2263" else (-74.0, 40.7)
        there = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        x, y = there.transform(*place)
        edge = 5000.0
        found = set_of(zones(tmp_path / name, [shapely.box(x, y, x + edge, y + edge)],
                             {"zone": [1]}, crs=crs))  # fmt: skip
        (area,) = areas(found)
        back = shapely.transform(area, there.transform, interleaved=False)
        expected = shapely.box(x, y, x + edge, y + edge)
        assert shapely.symmetric_difference(back, expected).area < 1e-6 * expected.area

    def test_long_edges_stay_where_their_projection_has_them(self, tmp_path):
        """Albers keeps areas: a straight edge drawn in degrees would cut pieces off."""
        box = shapely.box(-800_000, 3_300_000, 900_000, 4_300_000)
        (area,) = areas(set_of(zones(tmp_path / "z.gpkg", [box], {"zone": [1]}, crs=ALBERS)))
        assert geodesic_km2(area) == pytest.approx(box.area / 1e6, rel=1e-5)
        back = Transformer.from_crs(ALBERS, "EPSG:4326", always_xy=True)
        corners = shapely.transform(box, back.transform, interleaved=False)
        assert abs(geodesic_km2(corners) / (box.area / 1e6) - 1) > 1e-3

    @pytest.mark.skipif(OGR2OGR is None, reason="the system has no ogr2ogr")
    def test_ogr2ogr_brings_it_to_the_same_place(self, tmp_path):
        """GDAL of the system, with projections of its own, makes Albers of degrees."""
        path = zones(tmp_path / "z.gpkg", squares(3, edge=0.5))
        command = [OGR2OGR, "-t_srs", ALBERS, "-segmentize", "0.01", tmp_path / "a.shp", path]
        subprocess.run(command, check=True, capture_output=True)
        one, other = yielded(path), yielded(tmp_path / "a.shp")
        for a, b in zip(areas(one[0]), areas(other[0]), strict=True):
            assert shapely.symmetric_difference(a, b).area < 1e-6 * a.area
        agree = np.nan_to_num(one[1].values) == np.nan_to_num(other[1].values)
        assert agree.mean() > 0.999

    def test_rounding_at_the_ends_of_the_world_is_taken_off(self, tmp_path):
        box = shapely.box(179.0, -90 - 1e-9, 180 + 1e-9, -80)
        (area,) = areas(set_of(zones(tmp_path / "z.gpkg", [box], {"zone": [1]})))
        assert area.bounds == (179, -90, 180, -80)


class TestRefused:
    @pytest.mark.parametrize("suffix", [".shx", ".dbf", ".prj"])
    def test_a_part_that_is_missing_is_named(self, tmp_path, suffix):
        path = zones(tmp_path / "basins.shp")
        path.with_suffix(suffix).unlink()
        reason = refusal(path)
        assert f"comes without basins{suffix}" in reason
        assert ("coordinate system is unknown" in reason) == (suffix == ".prj")

    @pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
    def test_a_part_that_is_truncated(self, tmp_path, suffix, share):
        path = zones(tmp_path / "basins.shp", squares(20))
        part = path.with_suffix(suffix)
        part.write_bytes(part.read_bytes()[: int(share * part.stat().st_size)])
        assert ("is truncated: basins" + suffix in refusal(path)) or share == 0

    @pytest.mark.parametrize("suffix", [".shx", ".dbf", ".prj", ".cpg"])
    def test_a_part_that_is_damaged_is_refused_or_does_no_harm(self, tmp_path, suffix):
        path = zones(tmp_path / "basins.shp", squares(12))
        part = path.with_suffix(suffix)
        whole = part.read_bytes()
        rng = np.random.default_rng(11)
        refused = 0
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            part.write_bytes(damaged)
            try:
                found = set_of(path)
            except RefusedInput:
                refused += 1
            else:
                assert all(area.is_valid for area in areas(found))
        assert (refused > 5) == (suffix != ".cpg")

    def test_a_system_that_is_not_text(self, tmp_path):
        path = zones(tmp_path / "basins.shp")
        text = path.with_suffix(".prj").read_text()
        path.with_suffix(".prj").write_bytes(
            text.replace("GCS_WGS_1984", "GCS\xf4").encode("latin1")
        )
        assert refusal(path) == "has a .prj that is not text: it is damaged"

    def test_parts_of_different_shapefiles(self, tmp_path):
        path, other = zones(tmp_path / "a.shp", squares(3)), zones(tmp_path / "b.shp", squares(2))
        other.with_suffix(".dbf").replace(path.with_suffix(".dbf"))
        assert "a.dbf states 2 records, a.shx 3" in refusal(path)

    def test_the_index_alone(self, tmp_path):
        path = zones(tmp_path / "basins.shp")
        assert ".shp is missing" in refusal(path.with_suffix(".shx"))

    @pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.99])
    def test_a_truncated_geopackage(self, tmp_path, share):
        path = zones(tmp_path / "z.gpkg")
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert ("truncated GeoPackage" in refusal(path)) or share == 0.001

    def test_damage_within_a_geopackage(self, tmp_path):
        path = zones(tmp_path / "z.gpkg", squares(200))
        content = bytearray(path.read_bytes())
        page = 4096
        at = content.index(b"zone a") // page * page
        content[at : at + 64] = b"\xff" * 64
        path.write_bytes(content)
        assert "damaged" in refusal(path)

    def test_two_layers_are_listed(self, tmp_path):
        path = zones(tmp_path / "z.gpkg", layer="basins")
        zones(path, layer="provinces", append=True)
        assert "2 layers of features (basins, provinces)" in refusal(path)

    def test_no_layer(self, tmp_path):
        path = zones(tmp_path / "z.gpkg")
        change(path, "UPDATE gpkg_contents SET data_type = 'attributes'")
        assert "without a layer of features" in refusal(path)

    def test_another_database(self, tmp_path):
        change(tmp_path / "z.gpkg", "CREATE TABLE gpkg_contents (a)")
        assert "is an SQLite database" in refusal(tmp_path / "z.gpkg")

    def test_an_open_geopackage(self, tmp_path):
        path = zones(tmp_path / "z.gpkg")
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("UPDATE gpkg_contents SET description = 'changed'")
            database.commit()
            assert "z.gpkg-wal beside it holds changes" in refusal(path)
        assert len(set_of(path).zones) == 3
        assert [p.name for p in tmp_path.iterdir()] == ["z.gpkg"]

    @FORMATS
    @pytest.mark.parametrize(
        ("geometry", "kind"),
        [
            (shapely.Point(105, 37), "Point"),
            (shapely.LineString([(1, 1), (2, 2)]), "LineString"),
        ],
    )
    def test_what_is_no_polygon(self, tmp_path, name, geometry, kind):
        path = zones(tmp_path / name, [geometry], {"zone": [1]}, kind=kind)
        assert refusal(path) == f"holds {kind} features, and zones are polygons"

    @pytest.mark.parametrize(
        ("geometries", "columns", "reason"),
        [
            (squares(2), {"zone": [0, 1]}, "numbered from 1 to 65534"),
            (squares(2), {"zone": [1, 70000]}, "numbered from 1 to 65534"),
            (squares(2), {"zone": [1.5, 1]}, "not whole numbers"),
            (squares(2), {"zone": [np.nan, 1]}, "1 features have no number in 'zone'"),
            (squares(2), {"kind": [1, 2], "name": ["a", "b"]}, "its columns: kind, name"),
            (squares(2), {"zone": [1, 1], "name": ["a", "b"]}, "zone 1 is called 'a' and 'b'"),
            ([*squares(1), None], {"zone": [1, 2]}, "1 of its 2 features have no polygon"),
            ([shapely.Polygon()], {"zone": [1]}, "without a point"),
            ([shapely.box(200, 30, 201, 31)], {"zone": [1]}, "not on Earth"),
            ([shapely.box(100, 89, 101, 91)], {"zone": [1]}, "not on Earth"),
            ([shapely.box(105, 37, 105, 38)], {"zone": [1]}, "zone 1"),
        ],
    )
    def test_what_is_no_zone(self, tmp_path, geometries, columns, reason):
        assert reason in refusal(zones(tmp_path / "z.gpkg", geometries, columns))

    def test_an_empty_layer(self, tmp_path):
        path = zones(tmp_path / "z.gpkg", squares(1))
        change(path, "DELETE FROM zones")
        assert refusal(path) == "holds no feature"

    @pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site",UNIT["metre",1]]'])
    @FORMATS
    def test_no_known_system(self, tmp_path, crs, name):
        path = zones(tmp_path / name, crs=crs)
        if name == "z.shp":
            path.with_suffix(".prj").write_text(crs or "nothing")
        assert "coordinate system" in refusal(path)

    def test_metres_under_the_name_of_degrees(self, tmp_path):
        path = zones(tmp_path / "z.gpkg", [shapely.box(4e5, 4e6, 5e5, 5e6)], {"zone": [1]})
        assert "wrong coordinate system" in refusal(path)

    def test_nonsense_in_metres(self, tmp_path):
        box = [shapely.box(0, 0, 1e30, 1)]
        assert "nowhere on Earth" in refusal(
            zones(tmp_path / "z.gpkg", box, {"zone": [1]}, crs=EASE)
        )

    def test_across_the_180th_meridian(self, tmp_path):
        box = [shapely.box(400_000, 0, 1_000_000, 100_000)]
        path = zones(tmp_path / "z.gpkg", box, {"zone": [1]}, crs="EPSG:32660")
        assert "180th meridian" in refusal(path)

    def test_a_name_without_a_letter(self, tmp_path):
        assert "rename it" in refusal(zones(tmp_path / "z.gpkg"), "!!!.gpkg")


class TestMending:
    # a lagoon whose shore touches the outer ring: one ring, as ESRI's programs write it
    TOUCHING = shapely.Polygon([(0, 0), (4, 0), (4, 4), (2, 4), (3, 2), (1, 2), (2, 4), (0, 4)])

    @FORMATS
    def test_a_ring_that_touches_itself_keeps_its_area_and_is_told(self, tmp_path, name):
        assert not self.TOUCHING.is_valid
        polygons = [self.TOUCHING, shapely.box(10, 0, 11, 1)]
        found = set_of(zones(tmp_path / name, polygons, {"zone": [1, 2]}))
        assert [zone.mended for zone in found.zones] == [True, False]
        first, _ = areas(found)
        assert first.is_valid
        assert first.area == pytest.approx(14)
        assert not first.contains(shapely.Point(2, 2.5))

    def test_a_bow_tie_is_refused(self, tmp_path):
        bow = shapely.Polygon([(105, 37), (106, 38), (106, 37), (105, 38)])
        reason = refusal(zones(tmp_path / "z.gpkg", [bow], {"zone": [4]}))
        assert "a polygon of zone 4 crosses itself (Self-intersection[105.5 37.5])" in reason

    def test_parts_that_overlap_are_united(self, tmp_path):
        parts = shapely.MultiPolygon([shapely.box(0, 0, 2, 1), shapely.box(1, 0, 3, 1)])
        (area,) = areas(set_of(zones(tmp_path / "z.gpkg", [parts], {"zone": [1]})))
        assert area.area == pytest.approx(3)

    def test_the_shared_checks_mend_what_a_reader_did_not(self):
        broken = Zone(1, "a", as_wkb(shapely.MultiPolygon([self.TOUCHING])))
        sound = Zone(2, "b", as_wkb(shapely.MultiPolygon(squares(1))))
        (found,) = checked([ZoneSet("s", (broken, sound))], make_now())
        assert [zone.mended for zone in found.zones] == [True, False]
        assert found.zones[1] is sound
        assert areas(found)[0].is_valid

    @pytest.mark.parametrize(
        ("wkb", "reason"),
        [
            (b"", "damaged"),
            (shapely.to_wkb(shapely.Point(1, 1)), "Point"),
            (shapely.to_wkb(shapely.MultiPolygon()), "without a point"),
            (shapely.to_wkb(shapely.MultiPolygon([shapely.box(0, 80, 1, 100)])), "not on Earth"),
        ],
    )
    def test_the_shared_checks_refuse(self, wkb, reason):
        with pytest.raises(RefusedInput, match=reason):
            list(checked([ZoneSet("s", (Zone(1, "a", wkb),))], make_now()))


def make_now():
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


class TestRaster:
    @FORMATS
    @pytest.mark.parametrize("crs", [EASE, "EPSG:4326"])
    def test_rectangles_of_whole_cells_come_back_exactly(self, tmp_path, name, crs):
        truth = np.full(WINDOW.shape, np.nan, np.float32)
        parts = {
            7: (slice(0, 20), slice(0, 30)),
            500: (slice(20, 40), slice(0, 25)),
            65534: (slice(5, 33), slice(30, 60)),
        }
        for number, part in parts.items():
            truth[part] = number
        polygons = [cells(*part) for part in parts.values()]
        polygons = polygons if crs == EASE else [*map(degrees, polygons)]
        _, raster = yielded(zones(tmp_path / name, polygons, {"zone": [*parts]}, crs=crs))
        assert raster.grid == WINDOW
        np.testing.assert_array_equal(raster.values, truth)
        assert not raster.quality.any()
        assert (raster.variable.name, raster.period) == ("zone", None)

    def test_cells_have_the_zones_areas(self):
        """Cells of this grid are equal in area, so their number is the area."""
        rng = np.random.default_rng(3)
        centre = cells(slice(0, 40), slice(0, 60)).centroid
        blobs = []
        for i in range(3):
            angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
            radius = 12 * CELL * (1 + 0.2 * rng.standard_normal(60))
            x = centre.x + (i - 1) * 40 * CELL
            blobs.append(shapely.Polygon(np.c_[x + radius * np.cos(angle), centre.y + radius * np.sin(angle)]))  # fmt: skip
        raster = zone_raster(made_of(*blobs))
        for number, blob in enumerate(blobs, start=1):
            count = (raster.values == number).sum()
            assert count * CELL**2 == pytest.approx(blob.area, rel=0.02)

    def test_the_zone_that_covers_most_counts_not_the_one_at_the_centre(self):
        cell = cells(slice(3, 4), slice(3, 4))
        core = shapely.box(*cell.centroid.buffer(0.2 * CELL).bounds)  # 16 % of the cell
        raster = zone_raster(made_of(core, cell.difference(core)))
        assert raster.grid.shape == (1, 1)
        assert raster.values[0, 0] == 2

    @pytest.mark.parametrize(
        ("share", "number", "bits"),
        [(0.4, None, 0), (0.6, 1, InputQuality.PARTIAL_COVERAGE), (1.0, 1, 0)],
    )
    def test_half_of_a_cell_must_be_covered(self, share, number, bits):
        left, bottom, right, top = cells(slice(3, 4), slice(3, 4)).bounds
        raster = zone_raster(made_of(shapely.box(left, bottom, left + share * (right - left), top)))
        if number is None:
            assert raster is None
        else:
            assert (raster.values[0, 0], raster.quality[0, 0]) == (number, bits)

    def test_two_zones_may_cover_a_cell_together(self):
        left, bottom, _, top = cells(slice(3, 4), slice(3, 4)).bounds
        parts = [shapely.box(left + a * CELL, bottom, left + b * CELL, top) for a, b in ((0, 0.2), (0.2, 0.6))]  # fmt: skip
        raster = zone_raster(made_of(*parts))
        assert raster.values[0, 0] == 2

    def test_where_zones_overlap_the_lower_number_counts(self):
        both = cells(slice(3, 6), slice(3, 6))
        raster = zone_raster(made_of(both, both))
        assert (raster.values == 1).all()

    def test_agrees_with_exact_areas(self):
        """Of every cell the exact shares, by shapely, say the same unless two are nearly equal."""
        rng = np.random.default_rng(5)
        frame = cells(slice(0, 24), slice(0, 24))
        points = shapely.MultiPoint(
            np.c_[rng.uniform(*frame.bounds[::2], 40), rng.uniform(*frame.bounds[1::2], 40)]
        )
        parts = [
            part.intersection(frame)
            for part in shapely.get_parts(shapely.voronoi_polygons(points, extend_to=frame))
        ]
        raster = zone_raster(made_of(*parts))
        assert raster.grid == WINDOW.window(slice(0, 24), slice(0, 24))
        decided = 0
        for row, column in np.ndindex(24, 24):
            cell = cells(slice(row, row + 1), slice(column, column + 1))
            shares = shapely.area(shapely.intersection(parts, cell)) / cell.area
            second, first = np.sort(shares)[-2:]
            if first - second > 0.2:
                decided += 1
                assert raster.values[row, column] == np.argmax(shares) + 1
        assert decided > 400

    def test_blocks_leave_no_seam(self, monkeypatch):
        found = made_of(*(cells(slice(i, i + 13), slice(i, i + 9)) for i in range(0, 27, 9)))
        whole = zone_raster(found)
        monkeypatch.setattr(rasters, "_BLOCK", (7, 5))
        parts = zone_raster(found)
        np.testing.assert_array_equal(whole.values, parts.values)
        np.testing.assert_array_equal(whole.quality, parts.quality)

    def test_zones_too_small_for_a_cell_are_zones_all_the_same(self, tmp_path):
        small = shapely.box(105, 37, 105.001, 37.001)
        found = yielded(zones(tmp_path / "z.gpkg", [small], {"zone": [1]}))
        assert len(found) == 1
        both = yielded(zones(tmp_path / "y.gpkg", [small, shapely.box(106, 37, 106.1, 37.1)], {"zone": [1, 2]}))  # fmt: skip
        assert len(both[0].zones) == 2
        assert set(np.unique(both[1].values[np.isfinite(both[1].values)])) == {2}

    def test_beyond_the_grid_there_is_no_raster(self):
        pole = ZoneSet("p", (Zone(1, "a", as_wkb(shapely.MultiPolygon([shapely.box(0, 86, 10, 90)]))),))  # fmt: skip
        assert zone_raster(pole) is None

    def test_sets_of_a_continents_size_are_coarser(self, monkeypatch):
        monkeypatch.setattr(rasters, "_MOST_CELLS", 1000)
        polygon = cells(slice(1, 40), slice(1, 60))
        raster = zone_raster(made_of(polygon))
        assert raster.grid.base == "M03"
        count = np.isfinite(raster.values).sum()
        assert count * (3 * CELL) ** 2 == pytest.approx(polygon.area, rel=0.1)


LAND = small_land()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zones")
    return written(zones_writer.WRITER, folder, LAND)["terrain-rao2022.gpkg"]


class TestWriter:
    def test_the_raster_is_the_landscapes(self, file):
        found, raster = yielded(file)
        assert isinstance(raster, Raster)
        assert raster.grid == LAND.grid
        np.testing.assert_array_equal(raster.values, zones_writer.terrain_zones(LAND))
        assert [zone.number for zone in found.zones] == [1, 2, 3, 4, 5]
        assert found.name == "terrain-rao2022"

    def test_higher_numbers_are_higher_ground(self):
        numbers = zones_writer.terrain_zones(LAND)
        heights = [LAND.elevation[numbers == n].mean() for n in range(1, 6)]
        assert heights == sorted(heights)
        assert len(set(np.bincount(numbers.ravel())[1:])) < 6

    def test_same_seed_same_bytes_whenever(self, file, tmp_path):
        (again,) = written(zones_writer.WRITER, tmp_path / "again", LAND).values()
        assert again.read_bytes() == file.read_bytes()
        assert last_change(file) == "2000-02-11T00:00:00Z"
        (other,) = written(zones_writer.WRITER, tmp_path / "o", small_land(seed=2)).values()
        assert other.read_bytes() != file.read_bytes()

    def test_the_time_of_other_files_stays_theirs(self, file, tmp_path):
        assert last_change(zones(tmp_path / "z.gpkg")) > "2020"

    @pytest.mark.skipif(OGRINFO is None, reason="the system has no ogrinfo")
    def test_the_systems_gdal_opens_it(self, file):
        done = subprocess.run(
            [OGRINFO, "-ro", "-so", file, "terrain-rao2022"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Geometry: Multi Polygon" in done.stdout
        assert "Feature Count: 5" in done.stdout
        assert "EASE-Grid" in done.stdout or "6933" in done.stdout
        assert not done.stderr
