from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pystac
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from smcatalog.core.encoding import Quality, asset_kinds
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period
from smcatalog.stac.collections import CollectionInfo, Provider, build_collection
from smcatalog.stac.footprint import footprint, mean_resolution
from smcatalog.stac.items import build_item
from tests.factories.maps import GRID, described_map, replaced, window
from tests.factories.schemas import problems, schema_map

UTM = Grid(
    "utm55", GeoBox((80, 60), Affine(10_000, 0, 400_000, 0, -10_000, 6_300_000), "EPSG:32755")
)
INFO = CollectionInfo(
    product="testmap",
    title="Test map",
    description="Made by the tests",
    bbox=(146.0, -35.0, 146.5, -34.5),
    first=date(2018, 1, 1),
    last=None,
    grid=GRID,
    depths=(Depth(0.0, 0.05),),
    keywords=("soil moisture",),
    providers=(Provider("Somebody", ("producer", "host"), "https://example.org"),),
    citation="Somebody (2024): Test map",
)


def document(item: pystac.Item | pystac.Collection) -> dict:
    return item.to_dict(include_self_link=False, transform_hrefs=False)


@pytest.fixture
def item() -> dict:
    return document(build_item(described_map()))


def test_item_and_collection_are_valid_offline(item: dict) -> None:
    old, new = replaced(described_map())
    for published in (old, new, described_map(on=UTM), described_map(on=grid("M36"))):
        assert problems(document(build_item(published))) == []
    assert problems(item) == []
    assert problems(document(build_collection(INFO))) == []
    own = replace(INFO, license="other", license_url="https://example.org/licence", citation=None)
    assert problems(document(build_collection(own))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("properties", "proj:shape"), [1, 2, 3]),
        (("properties", "proj:epsg"), 6933),
        (("properties", "version"), 1),
        (("properties", "datetime"), "2018-08-02"),
        (("assets", "quality", "file:checksum"), "ab" * 32),
        (("assets", "quality", "bands"), [{"raster:scales": 1}]),
        (("assets", "quality", "bands"), [{"classification:bitfields": [{"offset": 0}]}]),
        (("assets", "quality", "bands"), [{"nodata": "none"}]),
        (("links",), []),
    ],
)
def test_validation_sees_a_damaged_item(item: dict, path: tuple[str, ...], value: object) -> None:
    *parents, last = path
    target = item
    for key in parents:
        target = target[key]
    target[last] = value
    assert problems(item)


def test_a_second_validator_agrees(item: dict, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # The package announces at import that its distribution is now called stac-valid.
        warnings.filterwarnings("ignore", "For v4", DeprecationWarning)
        from stac_validator.validate import StacValidate

    mapping = schema_map(tmp_path)
    for name, content in (("item", item), ("collection", document(build_collection(INFO)))):
        path = tmp_path / f"the-{name}.json"
        path.write_text(json.dumps(content))
        for mode in ({"core": True}, {"extensions": True}):
            validator = StacValidate(str(path), schema_map=dict(mapping), **mode)
            assert validator.run(), validator.message
        # The extensions' own schemas were used, not passed over.
        used = {mapping[uri] for uri in content["stac_extensions"]}
        assert used <= set(validator.message[0]["schema"])


def test_same_map_same_json() -> None:
    first, second = (json.dumps(document(build_item(described_map()))) for _ in range(2))
    assert first == second
    first, second = (json.dumps(document(build_collection(INFO))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("first", "last", "noon"),
    [
        (date(2018, 8, 1), date(2018, 8, 3), "2018-08-02T12:00:00Z"),
        (date(2018, 8, 2), date(2018, 8, 2), "2018-08-02T12:00:00Z"),
        (date(2018, 8, 1), date(2018, 8, 2), "2018-08-02T12:00:00Z"),
        (date(2018, 12, 31), date(2019, 1, 2), "2019-01-01T12:00:00Z"),
    ],
)
def test_time_is_noon_of_the_day_within_an_inclusive_period(
    first: date, last: date, noon: str
) -> None:
    published = replace(described_map(), period=Period.of_days(first, last))
    properties = document(build_item(published))["properties"]
    assert properties["datetime"] == noon
    assert properties["start_datetime"] == f"{first}T00:00:00Z"
    assert properties["end_datetime"] == f"{last}T23:59:59Z"
    assert properties["start_datetime"] < noon < properties["end_datetime"]


def test_item_says_whose_map_it_is(item: dict) -> None:
    published = described_map()
    assert item["stac_version"] == "1.1.0"
    assert item["id"] == "testmap_2018214_v1r1"
    assert item["collection"] == "testmap"
    assert item["properties"]["created"] == "2024-05-06T07:08:09Z"
    assert item["properties"]["version"] == "1.1"
    assert item["properties"]["smcatalog:product"] == "testmap"
    assert item["properties"]["smcatalog:status"] == "final"
    assert item["properties"]["smcatalog:fingerprint"] == published.fingerprint
    assert item["properties"]["smcatalog:model"] == published.model
    assert item["properties"]["smcatalog:grid"] == GRID.name


def test_assets_carry_address_checksum_and_bands(item: dict) -> None:
    published = described_map(depths=(Depth(0.0, 0.05), Depth(0.05, 0.125)))
    assets = document(build_item(published))["assets"]
    assert list(assets) == [kind.name for kind in asset_kinds()]
    for file in published.files:
        asset = assets[file.kind]
        assert asset["href"] == file.key
        assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert asset["file:checksum"] == "1220" + file.sha256
        assert asset["file:size"] == file.size
    names = {key: [band["name"] for band in asset["bands"]] for key, asset in assets.items()}
    assert names == {
        "soil_moisture": ["sm_0_5cm", "sm_5_12p5cm"],
        "uncertainty": ["sm_0_5cm_uncertainty", "sm_5_12p5cm_uncertainty"],
        "quality": ["sm_0_5cm_quality", "sm_5_12p5cm_quality"],
    }
    band = assets["soil_moisture"]["bands"][1]
    assert band["smcatalog:depth"] == [0.05, 0.125]
    assert (band["data_type"], band["nodata"], band["unit"]) == ("int16", -9999, "m3 m-3")
    assert band["raster:scale"] == 0.0001
    assert band["raster:spatial_resolution"] == pytest.approx(1000.895, abs=1e-3)
    assert assets["soil_moisture"]["roles"] == ["data"]
    assert "data" not in assets["quality"]["roles"]


def test_quality_bits_are_those_of_the_encoding(item: dict) -> None:
    (band,) = item["assets"]["quality"]["bands"]
    assert (band["data_type"], band["nodata"]) == ("uint16", 65535)
    bits = {field["name"]: 1 << field["offset"] for field in band["classification:bitfields"]}
    assert bits == {flag.name.lower(): flag.value for flag in Quality}
    assert all(field["length"] == 1 for field in band["classification:bitfields"])


def test_projection_is_the_grid(item: dict) -> None:
    properties = item["properties"]
    assert properties["proj:code"] == "EPSG:6933"
    assert tuple(properties["proj:shape"]) == GRID.shape
    assert Affine(*properties["proj:transform"]) == GRID.transform


def test_replaced_map_is_deprecated_and_linked_both_ways() -> None:
    old, new = (document(build_item(published)) for published in replaced(described_map()))
    assert old["properties"]["deprecated"] is True
    assert new["properties"]["deprecated"] is False
    assert new["properties"]["version"] == "1.2"

    def link(content: dict, relation: str) -> list[str]:
        return [entry["href"] for entry in content["links"] if entry["rel"] == relation]

    assert link(old, "successor-version") == [f"collections/testmap/items/{new['id']}"]
    assert link(new, "predecessor-version") == [f"collections/testmap/items/{old['id']}"]
    assert link(old, "predecessor-version") == link(new, "successor-version") == []


def test_a_map_without_one_of_its_files_is_refused() -> None:
    published = described_map()
    with pytest.raises(UsageError, match="one file each of"):
        build_item(replace(published, files=published.files[:2]))
    with pytest.raises(UsageError, match="one file each of"):
        build_item(replace(published, files=(*published.files, published.files[0])))


@pytest.mark.parametrize("on", [GRID, UTM, grid("M36"), Grid.latlon(-180, 90, 1.0, (180, 360))])
def test_footprint_is_counterclockwise_and_fills_its_box(on: Grid) -> None:
    place = footprint(on)
    polygon = shape(place.geometry)
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert polygon.bounds == pytest.approx(place.bbox)
    west, south, east, north = place.bbox
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90


def test_footprint_follows_edges_that_bend_in_degrees() -> None:
    # The southern edge of a UTM grid bulges: four corners alone would leave cells out.
    polygon = shape(footprint(UTM).geometry)
    assert len(polygon.exterior.coords) > 20
    assert len(shape(footprint(GRID).geometry).exterior.coords) == 5


def test_footprint_across_the_antimeridian_is_refused() -> None:
    fiji = Grid(
        "fiji", GeoBox((50, 50), Affine(20_000, 0, 300_000, 0, -20_000, 8_200_000), "EPSG:32760")
    )
    for on in (fiji, Grid.latlon(170, 10, 1.0, (10, 20))):
        with pytest.raises(UsageError, match="antimeridian"):
            footprint(on)


def test_resolution_of_degree_cells_is_that_of_the_middle_latitude() -> None:
    # At 60° a degree of longitude is half as long as one of latitude.
    assert mean_resolution(Grid.latlon(0, 60.5, 1.0, (1, 1))) == pytest.approx(
        111_319 * 0.5**0.5, rel=1e-3
    )


def test_collection_declares_what_items_have_in_common(item: dict) -> None:
    collection = document(build_collection(INFO))
    assert collection["extent"]["temporal"]["interval"] == [["2018-01-01T00:00:00Z", None]]
    assert collection["extent"]["spatial"]["bbox"] == [[146.0, -35.0, 146.5, -34.5]]
    assert collection["license"] == "CC-BY-4.0"
    assert collection["sci:citation"] == "Somebody (2024): Test map"
    assert collection["providers"][0]["roles"] == ["producer", "host"]
    for key, common in collection["item_assets"].items():
        assert common.items() <= item["assets"][key].items()
        assert set(item["assets"][key]) - set(common) == {"href", "file:checksum", "file:size"}
    closed = document(build_collection(replace(INFO, last=date(2018, 12, 31))))
    assert closed["extent"]["temporal"]["interval"][0][1] == "2018-12-31T23:59:59Z"


def test_collection_that_cannot_be_right_is_refused() -> None:
    for wrong in ({"last": date(2017, 1, 1)}, {"depths": ()}, {"license": "other"}):
        with pytest.raises(UsageError, match="testmap"):
            replace(INFO, **wrong)


def test_published_at_in_another_zone_is_written_in_utc() -> None:
    moment = datetime.fromisoformat("2024-05-06T17:08:09+10:00")
    published = replace(described_map(), published_at=moment, period=window(date(2018, 8, 2)))
    assert document(build_item(published))["properties"]["created"] == "2024-05-06T07:08:09Z"
    assert moment.astimezone(UTC).hour == 7
