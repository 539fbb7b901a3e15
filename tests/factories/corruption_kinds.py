"""The table of corruptions: what is wrong with a file, and what its refusal must say."""

from __future__ import annotations

import re

import numpy as np
from affine import Affine

from ingest.sniff import Format
from smcatalog.core.grids import grid
from tests.factories.corruption_changes import (
    added,
    as_text,
    constant,
    coordinates_moved,
    day_after,
    every_other,
    filled,
    foreign_fill,
    heights,
    moved,
    moved_into,
    multiplied,
    one_more,
    placed,
    shifted,
    upside_down,
    written,
)  # fmt: skip
from tests.factories.corruptions import (
    PAGE,
    YEAR,
    Kind,
    Spoil,
    accompanied,
    alone,
    attribute,
    both,
    but,
    by_sample,
    cases,
    cut,
    datasets,
    dated,
    dated_by_name,
    eos,
    every,
    gzipped,
    has_line_ends,
    lines,
    measured,
    of,
    real,
    renamed,
    replaced,
    reworded,
    rewritten,
    scaled,
    scientific,
    text_mode,
    tile,
    values,
    zeros,
)  # fmt: skip
from tests.factories.granules import OLD_CEOP_NAME, Sample
from tests.factories.modis import TILE

HDF4, HDF5, NETCDF3, TIFF, TEXT = Format.HDF4, Format.HDF5, Format.NETCDF3, Format.TIFF, Format.TEXT
SMAP = ("SPL3SMP", "SPL3SMP_E", "SPL4SMGP", "SPL2SMP")
POINTS, ERA5, SRTM = "SMAP-36km-points", "ERA5", "SRTMGL3"
WATER = (*SMAP, POINTS, ERA5)
MERGED = tuple(
    f"{maker}-SM-{kind}" for maker in ("ESACCI", "C3S") for kind in ("COMBINED", "PASSIVE")
)
VOLUMES = (*MERGED, "ESACCI-SM-cut", "AMSR-NN", "SMAP-1km", "SPL2SMAP_S", "SoMo.ml", "FLDAS-Noah")
"""Of shares of volume."""
UNITS = (*MERGED, "ESACCI-SM-ACTIVE", "C3S-SM-ACTIVE", "AMSR-NN", "SPL2SMAP_S", "SoMo.ml", "FLDAS-Noah", "GLDAS-Noah",
         "GPM_3IMERGDF", "GPM_3IMERGHH")  # fmt: skip
"""Whose readers look at the unit that is told."""
LATTICES = (
    *MERGED,
    "ESACCI-SM-ACTIVE",
    "C3S-SM-ACTIVE",
    "GPM_3IMERGDF",
    "GPM_3IMERGHH",
    "GLDAS-Noah",
    "FLDAS-Noah",
    "TerraClimate",
)
"""On the cells of a grid of the globe, in degrees."""
LST_TIFF = ("ubESTARFM-LST", "MOD11A1-cloudrm")
LISTED = "stations.csv"
LAND = "ERA5-Land"
DAILY = "2m_temperature_stream-oper_daily-mean.nc"
GMTED = ("GMTED2010", "GMTED2010-mean", "GMTED2010-median")

SIZE = r"has \d+ bytes(; a tile of SRTM has .*|, and by its header .*)cut off"
BY_SIZE = {SRTM: SIZE, "HWSD": SIZE}
"""Of formats that nothing but their size tells."""
BROKEN = {
    HDF4: "broken or truncated HDF4", HDF5: "broken or truncated (NetCDF/)?HDF5", NETCDF3: "broken or truncated NetCDF",
    TIFF: "broken or truncated GeoTIFF", **BY_SIZE,
    "ISMN": "(line 2|the last line) is .*cut off|is not 'time value flag'.*cut off",
    **dict.fromkeys(("station-table", "station-csv"), r"line \d+ has \d fields, the header \d: cut off"), "": "broken|truncated|cut|damaged|incomplete",
}  # fmt: skip
"""Of a file that ends too soon."""
NOTHING = r"holds no [\w ]+ at all"
OUTSIDE = r"\d+ of \d+ values of \w+ are outside .*wrong unit, wrong fill value"


OTHER_CELLS = r"cells are not those of the EASE-Grid 2\.0"
OTHER_SYSTEM = r"is in .*, expected EPSG:6933"


def _or_ease(reason: str, ease: str) -> dict[str, str]:
    """Return reasons of which another holds for rasters on the EASE-Grid 2.0."""
    return {"AMSR-NN": ease, "SMAP-1km": ease, "": reason}


M36_DEGREES = 360 / grid("M36").shape[1]
CELL_DEGREES = {"SMAP_L3_SM_P_E": M36_DEGREES / 4, "SMAP_L4": M36_DEGREES / 4, "SMAP": M36_DEGREES}  # fmt: skip


def named(sample: Sample) -> bool:
    """Say whether a sample's day stands in its name and inside."""
    return (eos(sample) or sample.source in SMAP) and every(sample)


def in_lines(sample: Sample) -> bool:
    return of("station-table", "ISMN")(sample)


def _ceop(value: str) -> dict[str, Spoil]:
    """Return spoilers of the values in ISMN's CEOP formats."""
    return {
        "COSMOS": lines(r"(0\.19 )\S+", rf"\g<1>{value}"), "SMOSMANIA": lines(r"(U   )\S+", rf"\g<1>{value}"),
    }  # fmt: skip


NOT_A_GRANULE = (
    Kind("empty", "is empty", replaced(b""), every),
    Kind("login page", "HTML page.*login or error page", replaced(PAGE), every),
    Kind("login page behind blank lines", "HTML page", replaced(b"\xef\xbb\xbf\r\n\r\n" + PAGE.lower()), every),
    Kind("bucket's error", {**BY_SIZE, "": "XML document"}, replaced(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired'
        b"</Message></Error>"), every),
    Kind("service's error", {
        "station-table": "lacks the columns", "station-csv": "lacks the columns", **BY_SIZE,
        "": r"text in no known format; it begins: '\{\"error\"",
    }, replaced(b'{"error": "token expired", "status": 401}\n'), every),
    Kind("allocated and never written", {
        SRTM: "nothing but nought", "HWSD": "holds no soil at all", "": "no known format: it begins with the bytes 00 00",
    }, zeros, every),
    Kind("still compressed", {**BY_SIZE, "": "gzip archive"}, gzipped, every),
    Kind("sent as text", {
        HDF5: "no known format", **BY_SIZE, "": "broken or truncated|no known format|damaged",
    }, text_mode, but(has_line_ends, TIFF)),
    Kind("another format's head", {**BY_SIZE, "": "broken or truncated HDF4"},
         replaced(b"\x0e\x03\x13\x01" + bytes(600)), every),
)  # fmt: skip

CUT = (
    Kind("cut in its first bytes", {
        **BY_SIZE, "ISMN": "text in no known format|no known format",
        "station-table": "CSV whose header|lacks the columns", "station-csv": "lacks the columns",
        "": "no known format",
    }, lambda path: written(path, path.read_bytes()[:3]), but(every, *GMTED)),
    Kind("cut in its superblock", BROKEN, lambda path: written(path, path.read_bytes()[:40]), scientific),
    *(Kind(f"cut at {share:.0%}", BROKEN, cut(share), but(every, LISTED))
      for share in (0.4, 0.75, 0.97)),
    # HDF4's last byte belongs to nothing
    Kind("its last two bytes missing", BROKEN, lambda path: written(path, path.read_bytes()[:-2]), but(every, TEXT)),
)  # fmt: skip


NAMES_AND_METADATA = (
    Kind("another tile in the name", r"its name says tile h19v05, inside it is h18v05: files mixed up",
         renamed(r"h18v05", "h19v05"), tile),
    Kind("another tile in its metadata", r"(its name|its LOCALGRANULEID) says tile h18v05, inside it is h20v05",
         reworded(r'(TILENUMBER\b[\s\S]*?VALUE = ")18"', r'\g<1>20"'), tile),
    Kind("a tile that there is not", "there is no tile h99|says tile h18v05, inside it is h99",
         both(reworded(r'(TILENUMBER\b[\s\S]*?VALUE = ")18"', r'\g<1>99"'), reworded("h18v05", "h99v05"),
              renamed("h18v05", "h99v05")), tile),
    Kind("corners of another tile", r"corners lie in tile h19v05, its metadata say h18v05", rewritten(
        reword=lambda name, text: shifted(text, TILE) if "Struct" in name else text), tile),
    Kind("another day in the name", {
        "SPL2SMP": "contradicts itself on its beginning", "SPL4SMGP": "contradicts itself on its hours",
        "SPL3SMP": "contradicts itself on its day", "SPL3SMP_E": "contradicts itself on its day",
        "": r"its name says \w+ of \d{7}, inside it is \w+ of \d{7}: files mixed up",
    }, day_after, named),
    Kind("another direction in the name", r"contradicts itself on its direction \(its metadata says D, .*its name says A",
         renamed("_D_", "_A_"), of("SPL2SMP")),
    Kind("another product in the name", r"its name says X\w+ of \d{7}, inside it is \w+ of",
         renamed("^[A-Z]", "X"), eos),
    Kind("another product inside", r"is a granule of \w+X, which is not read yet", both(
        reworded(r'((?<!END_)OBJECT = SHORTNAME\s[\s\S]*?VALUE = "\w+)"', r'\g<1>X"'),
        reworded(r"^(SPL\w+)$", r"\g<1>X", "hortName")), named),
    Kind("its description dropped", {HDF5: "no known source|does not say", HDF4: "does not say which product it is"},
         rewritten(reword=lambda name, text: None if "CoreMetadata" in name else text), eos),
    Kind("its grid's description dropped", "describes 0 grids, expected one",
         rewritten(reword=lambda name, text: None if "StructMetadata" in name else text), eos),
    Kind("its grid's description garbled", "describes its grid incompletely",
         reworded("XDim=", "XDim=?", "StructMetadata"), eos),
    Kind("its days dropped", "does not say its RANGE(BEGINNING|ENDING)DATE: its metadata are cut",
         reworded(r"RANGE(BEGINNING|ENDING)DATE", "NOTHING"), eos),
    Kind("ends before it begins", "ends before it begins|a period must end after it starts", both(
        reworded(r'((?<!END_)OBJECT = RANGEENDINGDATE\s[\s\S]*?VALUE = ")\d{4}', r"\g<1>2001"),
        reworded(r"^\d{4}", "2001", "rangeEnding")), named),
    Kind("a day that is none", "is no day|impossible time", both(
        reworded(r'((?<!END_)OBJECT = RANGEBEGINNINGDATE\s[\s\S]*?VALUE = ")\d{4}-\d\d', r"\g<1>2020-13"),
        reworded(r"^(\d{4})-\d\d", r"\g<1>-13", "rangeBeginning")), named),
    Kind("an impossible day in the name", "impossible day in its name|names no day", lambda path: path.rename(
        path.with_name(re.sub(YEAR.pattern + r"([._-]?)\d\d", r"2018\g<1>13", path.name))),
        dated_by_name),
    Kind("in the future", "in the future", moved_into("2099"), dated),
    Kind("before its time", r"before 1970", moved_into("1952"), dated),
    Kind("no place in the name", "does not say where it is: restore the provider's name",
         renamed(r"^N37E105", "tile"), of(SRTM)),
    Kind("a place without a tile", "there is no such tile", renamed(r"^N37", "N77"), of(SRTM)),
    Kind("a name that is not declared", "matches none of the declared ones", renamed(r"^", "copy of "), of(TIFF)),
    Kind("another depth in the name", r"its name says 0.1\d* to 0.2\d* m below ground, inside it is 0.0\d* to 0.05\d* m: files mixed up",
         renamed("0.000000_0.050000", "0.100000_0.200000"), lambda s: s.name.startswith("NET")),
    Kind("another variable in the name", "variable ts is not stored", renamed("_sm_", "_ts_"), but(of("ISMN"), OLD_CEOP_NAME)),
)  # fmt: skip


CONTENT = (
    Kind("nothing but fill", {"": NOTHING}, measured(filled), scientific),
    Kind("nothing but void", NOTHING, heights(constant(-32768)), of(SRTM)),
    Kind("nothing but fill in its lines", NOTHING, by_sample({
        "NET": lines(r"(\d\d:\d\d +)\S+", r"\g<1>-9999.0"), **_ceop("-9999.0"), "OzNet": lines(r"0\.1\d1", "NA")}),
        but(in_lines, LISTED)),
    Kind("not a number", NOTHING, values(constant(np.nan)), real),
    Kind("infinite", f"{NOTHING}|{OUTSIDE}", values(constant(np.inf)), real),
    Kind("not a number in its lines", f"{NOTHING}|not finite numbers", by_sample({
        "NET": lines(r"(\d\d:\d\d +)\S+", r"\g<1>nan"), **_ceop("nan"), "OzNet": lines(r"0\.1\d1", "nan")}), but(in_lines, LISTED)),
    Kind("words for numbers", "is not 'time [\\w ]*value flag'|not a number|impossible coordinates", by_sample({
        "NET": lines(r"(\d\d:\d\d +)\S+", r"\g<1>dry"), **_ceop("dry"), "OzNet": lines(r"0\.1\d1", "dry"),
        "stations": lines(r"-34\.7283", "south")}), in_lines),
    Kind("Celsius for Kelvin", r"values of lst_\w+ are outside .* K .*wrong unit", by_sample({
        "MOD11A1_": values(added(-273.15)), "ubESTARFM": values(added(-273.15)),
        "M": values(added(-13657))}), of("MOD11A1", "MYD11A1", *LST_TIFF)),
    Kind("Kelvin for Celsius", r"values of air_temperature are outside .* degC .*wrong unit",
         values(added(273.15)), lambda s: "tavg" in s.name),
    Kind("percent for a fraction", r"values of (sm\w*|swvl1|silt) are outside 0 to 1 .*wrong unit", values(multiplied(100)),
         but(lambda s: of(*WATER, *VOLUMES)(s) or s.name.startswith("SLT"), NETCDF3, DAILY)),
    Kind("percent in its lines", "values of sm are outside 0 to 1 m3 m-3 .*wrong unit", by_sample({
        "NET": lines(r"(\d\d:\d\d +)0\.(\d\d)", r"\g<1>\g<2>."), **_ceop("20.0"), "OzNet": lines(r"0\.(1\d)1", r"\g<1>.1")}),
        but(in_lines, LISTED)),
    Kind("another unit declared", r"is in 'mol m-2', expected", attribute(units=np.bytes_("mol m-2")),
         but(of(*SMAP, *UNITS, ERA5, LAND), NETCDF3, TIFF)),
    Kind("decibels for powers", "are negative, expected powers: they are in dB already",
         values(constant(-12.5)), of("Sentinel-1")),
    Kind("bytes in the wrong order", OUTSIDE, heights(lambda old: old.byteswap()), of(SRTM)),
    Kind("no scale", {
        "MOD13A2": "has None steps of one, expected 10000", "MYD13A2": "has None steps of one, expected 10000",
        NETCDF3: OUTSIDE, "": "has steps of None, expected",
    }, attribute(scale_factor=None), scaled),
    Kind("a scale of one", {
        "MOD13A2": "has 1.0 steps of one, expected 10000", "MYD13A2": "has 1.0 steps of one, expected 10000",
        NETCDF3: OUTSIDE, "": "has steps of 1(.0)?, expected",
    }, attribute(scale_factor=1.0), scaled),
    Kind("a scale of nought", "has steps of 0.0, expected|has 0.0 steps of one, expected|scale factor of 0",
         attribute(scale_factor=0.0), but(scientific, "MCD12Q1")),
    Kind("a scale that is no number", "has (steps of )?nan|scale factor of nan",
         attribute(scale_factor=float("nan")), but(scientific, "MCD12Q1")),
    Kind("another fill value than declared", {
        "Sentinel-1": "are negative, expected powers.*wrong fill value", "": OUTSIDE,
    }, measured(foreign_fill), but(scientific, "MOD15A2H", "MYD15A2H", "AMSR2-L3-SM", "POR.nc")),
    Kind("another void value", OUTSIDE, heights(every_other(-9999)), of(SRTM)),
    Kind("another fill value in its lines", OUTSIDE, by_sample({
        "NET": lines(r"(0:00 +)\S+", r"\g<1>-777.0"), **_ceop("-777.0"), "OzNet": lines(r"0\.111|NA", "-999")}), but(in_lines, LISTED)),
    Kind("what it measures left out", r"has no data set|lacks|holds no|has neither|no known source|has 0 data sets|has no band",
         measured(lambda old, attributes: None), but(scientific, TIFF)),
    Kind("its quality left out", "has no data set|lacks", datasets(
        r"(?i)QC|qual|rank|reliability|state|flag", lambda old: None), but(lambda s: eos(s) or s.source in SMAP,
                                                                    "SPL4SMGP", "MCD43D58")),
    Kind("its coordinates left out", r"lacks|does not|no known source", datasets(
        r"(?i)latitude|cell_lat", lambda old: None), but(of(*WATER), DAILY)),
    Kind("letters for numbers", {ERA5: "names no unit", LAND: "names no unit", "": "holds no numbers"}, measured(as_text), but(scientific, TIFF, NETCDF3)),
    Kind("complex numbers", "holds complex64, not plain numbers", values(lambda old: old.astype("c8")), of(TIFF)),
    Kind("real numbers for flags", "where bits belong|holds float32", datasets(
        r"(?i)QC|VI Quality|state", lambda old: old.astype("f4")), of("MOD11A1", "MYD11A1", "MOD13A2", "MOD15A2H", "MOD09A1")),
    Kind("another shape than its grid", "has the shape|differ in (length|shape|number)|has the dimensions", values(one_more),
         but(scientific, TIFF, NETCDF3)),
    Kind("two bands", "has 2 bands, expected one", values(lambda old: np.stack([old, old])), but(of(TIFF), "SMAP-1km")),
    Kind("a field too many", r"line 3 has \d fields, the header \d", lines(r"^(20\S+-02,.*|y8.*)$", r"\g<1>,1"),
         of("station-table")),
    Kind("another header", "lacks the columns", lines("^(.*),lat,", r"\g<1>,latitude,"), of("station-table")),
    Kind("a day twice", "its days do not rise strictly", lines("2020-01-03", "2020-01-01"),
         lambda s: s.name.startswith("OzNet")),
    Kind("an hour twice", "the same hour more than once", datasets(
        "^(valid_)?time$", lambda old: np.concatenate([old[:1], old[:-1]])), of(ERA5, LAND)),
)  # fmt: skip

PLACE = (
    Kind("moved by a part of a pixel", r"off by 0\.30 (pixels|cells)", moved(0.3), eos),
    # of ERA5 any regular grid is read: nothing inside says where its cells should lie
    Kind("moved by half a cell", "beside the centres of the (36|9) km grid", coordinates_moved("(?i)longitude|cell_lon", {k: v / 2 for k, v in CELL_DEGREES.items()}), of(*SMAP, POINTS)),
    Kind("moved by a part of a cell", r"cells are not those of the (global grid of 1/\d+ degree|EASE-Grid) .*off by 0\.\d+ cells", datasets(
        "(^|/)(lon|X)$", lambda old: old + np.asarray(0.3 * (old[1] - old[0]), old.dtype)), of(*LATTICES)),
    Kind("uneven", "do not rise or fall evenly|neither rises nor falls evenly", datasets(
        "(^|/)(lat|Y)$", lambda old: np.concatenate([old[1:], old[:1]])), of(*LATTICES, "SoMo.ml")),
    Kind("upside down", {
        "SPL2SMP": "beside the centres", "": "runs? (backwards|from south to north)",
    }, by_sample({
        "SMAP_L2": datasets("latitude", lambda old: old[::-1]),
        "SMAP": datasets("latitude|cell_lat", lambda old: np.where(old == -9999, old, -old)),
        "": rewritten(reword=upside_down)}), lambda s: of(*SMAP)(s) or eos(s)),
    Kind("in another projection", r"its grid is GCTP_UTM.*expected",
         reworded("Projection=(HE5_)?GCTP_(SNSOID|GEO)", "Projection=GCTP_UTM\nProjParams=(0,0,0)"), eos),
    Kind("on another sphere", r"on a sphere of 6.3781\d+e\+06 m, expected the sinusoidal one",
         reworded(r"6371007\.181000", "6378137.000000", "StructMetadata"), tile),
    Kind("nowhere", "has no georeference", placed(transform=Affine.identity()), of(TIFF)),
    Kind("without a reference system", "no coordinate reference system", placed(crs=None), but(of(TIFF), "CSCD")),
    Kind("metres called degrees", _or_ease("not on Earth", OTHER_CELLS), placed(transform=Affine(30, 0, 615000, 0, -30, 6200000)), of(TIFF)),
    Kind("counted from 0 to 360", _or_ease("counted from 0 to 360", OTHER_CELLS), placed(transform=Affine(0.001, 0, 200, 0, -0.001, 40)),
         of(TIFF)),
    Kind("degrees called metres", _or_ease("these are degrees, its reference system .* counts metres", OTHER_SYSTEM), placed(crs="EPSG:32755"), of(TIFF)),
    Kind("far outside its projection", _or_ease("nowhere on Earth|not on Earth", OTHER_SYSTEM), placed(
        crs="EPSG:32755", transform=Affine(30, 0, 9e8, 0, -30, 9e8)), of(TIFF)),
    Kind("in a system of its own", _or_ease("nobody knows the way .* to degrees|unknown coordinate reference system", OTHER_SYSTEM), placed(
        crs='LOCAL_CS["quarry",UNIT["metre",1]]', transform=Affine(30, 0, 0, 0, -30, 0)), of(TIFF)),
    Kind("on Mars", _or_ease("nobody knows the way .* to degrees|unknown coordinate reference system", OTHER_SYSTEM), placed(
        crs='GEOGCS["Mars 2000",DATUM["D_Mars_2000",SPHEROID["Mars_2000_IAU_IAG",3396190,169.894447223612]],'
            'PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]]'), of(TIFF)),
    Kind("turned", "turned against its coordinate axes", placed(
        transform=Affine.translation(146, -34) * Affine.rotation(20) * Affine.scale(0.001, -0.001)), of(TIFF)),
    Kind("mirrored", "do not run from west to east", placed(transform=Affine(-0.001, 0, 146, 0, -0.001, -34.3)),
         of(TIFF)),
    Kind("a place not on Earth", "impossible (coordinates|header)", by_sample({
        "NET": lines("-34.72835", "-134.72835"),
        **dict.fromkeys(("COSMOS", "SMOSMANIA"), lines("36.60540", "136.60540")), "OzNet": lines(r"-34\.728", "-134.728"),
        "stations": lines(r"-34\.7283", "-134.7283")}), in_lines),
    Kind("two places", "gives 2 places for one station", lines("^(2020-01-03),-34.728", r"\g<1>,-34.9"),
         lambda s: s.name.startswith("OzNet")),
)  # fmt: skip

COMPANY = (Kind("what belongs to it left out", r"(?i)beside it|shx|dbf|hdr", alone, accompanied),)

KINDS = (*NOT_A_GRANULE, *CUT, *NAMES_AND_METADATA, *CONTENT, *PLACE, *COMPANY)
CASES = cases(KINDS)
