"""Tiny valid files of every reader, written as their providers write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import rasterio
from affine import Affine
from scipy.io import netcdf_file

from ingest.candidate import Candidate
from smcatalog.core.grids import grid
from tests.factories import albedo, coarse, modis, smap, soil, vectors, viirs

ISMN_NAME = "NET_NET_First_sm_0.000000_0.050000_Probe_20200101_20200103.stm"
ISMN_HEADER = (
    "NET        NET        First_Place     -34.72835 146.29317  136.0 0.0000 0.0500 Probe X"
)
CEOP_NAME = "COSMOS_COSMOS_ARM-1_sm_0.000000_0.190000_Cosmic-ray-Probe_20170810_20180809.stm"
OLD_CEOP_NAME = "SMOSMANIA_SMOSMANIA_NBN_20100304_20130801.stm"
TABLE_NAME = "OzNet_y1_cleaned_data.csv"
LIST_NAME = "stations.csv"
SCENE = "S1A_IW_GRDH_1SDV_20180610T104512_20180610T104537_022293_0269A1_3D5E"
SMAP_NAME = "SMAP_20200101_20200103.nc"
ERA5_NAME = "ERA5_20200101_20200102.nc"


def candidate(path: Path, delivered: str | None = None) -> Candidate:
    return Candidate(path, str(path), delivered or path.name)


def _dimension(file: h5py.File, name: str, values: np.ndarray, **attributes: object) -> None:
    data = file.create_dataset(name, data=values)
    data.make_scale(name)
    # fixed-length text, as the netCDF library writes it
    data.attrs.update({k: np.bytes_(v) if isinstance(v, str) else v for k, v in attributes.items()})


def smap_points(
    path: Path,
    cells: list[tuple[int, int]] | None = None,
    values: list[float] | None = None,
    *,
    shift: float = 0.0,
    retrievals: tuple[str, ...] = ("soil_moisture", "soil_moisture_dca"),
) -> Path:
    """Write a list of points at centres of M36 cells, moved by ``shift`` degrees east."""
    cells = [(318, 872), (318, 872), (320, 874)] if cells is None else cells
    values = [0.1, 0.2, 0.3] if values is None else values
    longitude, latitude = _centres(cells)
    with h5py.File(path, "w") as file:
        _dimension(file, "index", np.arange(len(cells)))
        if not cells:
            return path
        columns = {"latitude": latitude, "longitude": longitude + shift}
        columns |= {name: np.array(values) + 0.01 * i for i, name in enumerate(retrievals)}
        for name, column in columns.items():
            data = file.create_dataset(name, data=column.astype("f4"))
            data.attrs["_FillValue"] = np.array([np.nan], "f4")
            data.dims[0].attach_scale(file["index"])
    return path


def _centres(cells: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    from pyproj import Transformer

    whole = grid("M36")
    x, y = whole.centres()
    rows, columns = (np.array([c[i] for c in cells], int) for i in (0, 1))
    back = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    longitude, latitude = back.transform(x[columns], y[rows])
    return np.asarray(longitude), np.asarray(latitude)


def hours(first: date, count: int, skip: int = 0) -> np.ndarray:
    start = np.datetime64(first, "h") + skip
    return start + np.arange(count)


ERA5_UNITS = {
    **{f"swvl{n}": "m**3 m**-3" for n in (1, 2, 3, 4)},
    **{f"stl{n}": "K" for n in (1, 2, 3, 4)},
    "t2m": "K", "d2m": "K", "lai_hv": "m**2 m**-2", "lai_lv": "m**2 m**-2", "tp": "m",
    "e": "m of water equivalent", "pev": "m", "ssrd": "J m**-2", "lsm": "(0 - 1)",
}  # fmt: skip


def era5(
    path: Path,
    times: np.ndarray | None = None,
    field: np.ndarray | None = None,
    *,
    latitudes: tuple[float, ...] = (-34.5, -34.75),
    longitudes: tuple[float, ...] = (146.0, 146.25, 146.5),
    land: bool = True,
    fields: dict[str, np.ndarray] | None = None,
    days: bool = False,
) -> Path:
    """Write the layout of 2024 and later. ``field`` has the shape (time, latitude, longitude).

    ``fields`` by name stand in place of ``swvl1``; ``days`` counts the times in days, as daily statistics do.
    """
    times = hours(date(2020, 1, 1), 48) if times is None else times
    shape = (len(times), len(latitudes), len(longitudes))
    fields = (
        {"swvl1": np.full(shape, 0.25) if field is None else field} if fields is None else fields
    )
    if land:
        fields = fields | {"lsm": np.full(shape, 0.75)}
    with h5py.File(path, "w") as file:
        step = "D" if days else "s"
        stamps = times.astype(f"datetime64[{step}]").astype("i8")
        _dimension(file, "valid_time", stamps, calendar="proleptic_gregorian",
                   units=f"{'days' if days else 'seconds'} since 1970-01-01")  # fmt: skip
        _dimension(file, "latitude", np.array(latitudes))
        _dimension(file, "longitude", np.array(longitudes))
        text = file.create_dataset("expver", data=["0001"] * len(times), dtype=h5py.string_dtype())
        text.dims[0].attach_scale(file["valid_time"])
        for name, values in fields.items():
            data = file.create_dataset(name, data=np.broadcast_to(values, shape).astype("f4"))
            data.attrs["units"] = np.bytes_(ERA5_UNITS[name])
            data.attrs["_FillValue"] = np.array([np.nan], "f4")
            for i, axis in enumerate(("valid_time", "latitude", "longitude")):
                data.dims[i].attach_scale(file[axis])
    return path


def era5_land(path: Path) -> Path:
    """Write three days of ERA5-Land: states and totals since midnight."""
    times = hours(date(2020, 1, 1), 72)
    clock = times.astype(int) % 24
    since = np.where(clock == 0, 24, clock)[:, None, None]
    fields = {
        "swvl2": np.full(72, 0.3)[:, None, None], "t2m": 280.0 + since / 10,
        "tp": since * 1e-4, "e": since * -5e-5, "ssrd": since * 5e5,
    }  # fmt: skip
    return era5(
        path,
        times,
        latitudes=(36.1, 36.0),
        longitudes=(104.9, 105.0, 105.1),
        land=False,
        fields=fields,
    )


def era5_old(path: Path, field: np.ndarray, *, first: date = date(2020, 1, 1)) -> Path:
    """Write the old layout, NetCDF-3 with packed integers and two versions side by side.

    ``field`` has the shape (time, expver, latitude, longitude) with latitude rising.
    """
    with netcdf_file(path, "w", version=2) as file:
        for name, length in zip(
            ("time", "expver", "latitude", "longitude"), field.shape, strict=True
        ):
            file.createDimension(name, length)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 1900-01-01 00:00:00.0"
        time.calendar = "gregorian"
        origin = np.datetime64("1900-01-01", "h")
        time[:] = (hours(first, field.shape[0]) - origin).astype(int)
        file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        file.createVariable("latitude", "f4", ("latitude",))[:] = -34.75 + 0.25 * np.arange(
            field.shape[2]
        )
        file.createVariable("longitude", "f4", ("longitude",))[:] = 146 + 0.25 * np.arange(
            field.shape[3]
        )
        data = file.createVariable("swvl1", "i2", ("time", "expver", "latitude", "longitude"))
        data.units = "m**3 m**-3"
        data.scale_factor, data.add_offset = 0.0001, 0.3
        data._FillValue = np.int16(-32767)
        packed = np.rint((np.nan_to_num(field, nan=0.3) - 0.3) / 0.0001)
        data[:] = np.where(np.isnan(field), -32767, packed).astype("i2")
    return path


LAI_NAME = "lai_8-day_0.1_2018.nc"


def lai(
    path: Path,
    values: np.ndarray | None = None,
    *,
    times: tuple[int, ...] = (1, 9, 361),
    unit: str = "day of year",
    value_unit: str = "m2/m2",
    latitudes: tuple[float, ...] = (36.05, 35.95),
    **attributes: object,
) -> Path:
    """Write reprocessed leaf area; ``values`` has the shape (time, latitude, longitude)."""
    shape = (len(times), len(latitudes), 3)
    values = np.full(shape, 2.5, "f4") if values is None else np.asarray(values)
    axes = (("time", times, unit), ("lat", latitudes, "degrees_north"),
            ("lon", (104.95, 105.05, 105.15), "degrees_east"))  # fmt: skip
    with netcdf_file(path, "w", version=2) as file:
        for name, numbers, axis_unit in axes:
            file.createDimension(name, len(numbers))
            axis = file.createVariable(name, "i4" if name == "time" else "f8", (name,))
            axis.units = axis_unit
            axis[:] = numbers
        data = file.createVariable("lai", values.dtype, ("time", "lat", "lon"))
        data.units = value_unit
        for key, value in ({"_FillValue": np.array(-1, values.dtype)} | attributes).items():
            setattr(data, key, value)
        data[:] = values
    return path


def geotiff(
    path: Path,
    values: np.ndarray | None = None,
    *,
    crs: str | None = "EPSG:4326",
    transform: Affine | None = None,
    **profile: object,
) -> Path:
    values = np.full((4, 5), 150.0, "f4") if values is None else np.asarray(values)
    bands = values if values.ndim == 3 else values[None]
    transform = transform or Affine(0.001, 0, 146, 0, -0.001, -34.3)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, crs=crs, transform=transform, **profile,
    ) as file:  # fmt: skip
        file.write(bands)
    return path


def srtm(path: Path, heights: np.ndarray | None = None, *, nodes: int = 1201) -> Path:
    """Write an HGT tile; ``heights`` has the shape (nodes, nodes), row 0 northernmost."""
    if heights is None:
        heights = np.full((nodes, nodes), 1234)
    heights.astype(">i2").tofile(path)
    return path


def ismn(
    path: Path, lines: list[str] | None = None, *, header: str = ISMN_HEADER, end: str = "\n"
) -> Path:
    if lines is None:
        lines = [f"2020/01/01 {h:02d}:00 {0.1 + h / 1000:8.4f} G M" for h in range(24)]
    path.write_bytes("".join(line + end for line in [header, *lines]).encode())
    return path


def ceop_line(time: str, depths: str, rest: str) -> str:
    return f"{time} {time} COSMOS     COSMOS          ARM-1    36.60540   -97.48780  322.00 {depths} {rest}"


def ceop(path: Path, lines: list[str] | None = None) -> Path:
    if lines is None:
        lines = [
            ceop_line(f"2017/08/10 {h:02d}:00", "0.00   0.19", f"{0.1 + h / 1000:.4f} G M")
            for h in range(24)
        ]
    path.write_bytes("".join(line + "\r\n" for line in lines).encode())
    return path


def old_ceop(path: Path) -> Path:
    depths = ("-   0.05", "-   0.10")
    return ceop(path, [
        ceop_line(f"2010/10/21 {h:02d}:00", depth, f"12.20 U   {0.2 + h / 1000:.4f} G")
        for h in range(24) for depth in depths
    ])  # fmt: skip


def table(path: Path, values: list[str] | None = None, *, first: date = date(2020, 1, 1)) -> Path:
    values = ["0.101", "NA", "0.121"] if values is None else values
    rows = [f"{first + timedelta(days=i)},-34.728,146.29,{v},136.7" for i, v in enumerate(values)]
    path.write_text("\n".join(["time,lat,lon,insitu_sm,dem", *rows]) + "\n")
    return path


STATION_CSV_NAME = "xilinhot_2018.csv"
STATION_CSV = """
network = "NZW"
station = "Xilinhot"
latitude = 43.950
longitude = 116.12
[time]
column = "time"
utc_offset_hours = 8
step_hours = 1
[[sensor]]
column = "sm"
depth = [0.1, 0.1]
content = "relative"
unit = "percent"
full = 0.4
"""


def station_csv(
    path: Path, text: str = STATION_CSV, rows: list[str] | None = None, *, header: str = "time,sm"
) -> Path:
    """Write a table and the declaration beside it."""
    if rows is None:
        rows = [f"2018-06-01 {h:02d}:00,{50 + h}" for h in range(24)]
    path.with_suffix(".toml").write_text(text)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def station_list(path: Path) -> Path:
    path.write_text(
        "sitename,lat,lon,iteration,cluster\ny5,-34.7283,146.2932,3,NA\ny8,-34.847,146.414,1,A\n"
    )
    return path


@dataclass(frozen=True)
class Sample:
    """A valid file: which source it must be identified as, its name, how it is written."""

    source: str
    name: str
    write: Callable[[Path], Path]

    def __str__(self) -> str:
        return self.name

    def into(self, folder: Path) -> Path:
        return self.write(folder / self.name)


def _raster(name: str, source: str, value: float) -> Sample:
    return Sample(source, name, lambda path: geotiff(path, np.full((4, 5), value, "f4")))


def _aqua(source: str, name: str, write: Callable[..., Path]) -> Sample:
    """Return the sample of the same product from the other satellite."""
    other = name.replace("MOD", "MYD")
    return Sample(source.replace("MOD", "MYD"), other, lambda path: write(path, name=other))


def _image(source: str, name: str) -> Sample:
    """Return the sample of a daily image of soil moisture merged from many satellites."""
    return Sample(source, name, lambda path: coarse.cci(path, name=name))


SAMPLES = (
    Sample("SPL3SMP", smap.SPL3SMP_NAME, smap.spl3smp),
    Sample("SPL2SMP", smap.SPL2SMP_NAME, smap.spl2smp),
    Sample("SPL3SMP_E", smap.SPL3SMP_E_NAME, smap.spl3smp_e),
    Sample("SPL4SMGP", smap.SPL4SMGP_NAME, smap.spl4smgp),
    Sample("SMAP-36km-points", SMAP_NAME, smap_points),
    Sample("SMAP-36km-points", "SMAP_China_2020-01-02.nc", smap_points),
    Sample("ERA5", ERA5_NAME, era5),
    Sample("LAI-reprocessed", LAI_NAME, lai),
    Sample("ERA5-Land", "ERA5-Land_202001.nc", era5_land),
    Sample(
        "ERA5",
        "2m_temperature_stream-oper_daily-mean.nc",
        lambda path: era5(
            path,
            np.arange("2020-01-01", "2020-01-03", dtype="datetime64[D]"),
            fields={"t2m": np.array([280.0, 281.0])[:, None, None]},
            land=False,
            days=True,
        ),
    ),
    Sample("ERA5", "old.nc", lambda path: era5_old(path, np.full((24, 2, 2, 3), 0.25))),
    _raster("DEM_100m_resampled.tif", "DEM-100m", 150),
    _raster("dem_3arcsec_texas.tif", "DEM", 150),
    _raster("Copernicus_DSM_COG_10_N37_00_E105_00_DEM.tif", "DEM", 1400),
    _raster("chirps-v2.0.2018.06.10.tif", "CHIRPS", 3),
    _raster(f"{SCENE}_Sigma0_VV.tif", "Sentinel-1", 0.1),
    _raster(f"{SCENE}_VH.tif", "Sentinel-1", 0.02),
    _raster("AWC_100m_resampled.tif", "soil-100m", 8),
    _raster("SLT_100m_resampled.tif", "soil-100m", 0.06),
    _raster("ANUClimate_v2-0_rain_daily_20160205.tif", "ANUClimate-v2-0", 3),
    _raster("ANUClimate_v2-0_tavg_daily_20160205.tif", "ANUClimate-v2-0", 23),
    _raster("ANUClimate_v2-0_vpd_daily_20160205.tif", "ANUClimate-v2-0", 20),
    _raster("ANUClimate_v2-0_srad_daily_20160205.tif", "ANUClimate-v2-0", 28),
    _raster("CMRSET_Landsat_ET_2016_02_01.tif", "CMRSET-Landsat", 1.8),
    _raster("ubESTARFM_LST_cloudrm_20160205.tif", "ubESTARFM-LST", 306),
    _raster("MOD11A1_LST_cloudrm_20160205.tif", "MOD11A1-cloudrm", 307),
    _raster("sand_0-5cm_mean.tif", "SoilGrids", 520),
    _raster("clay_0-5cm_mean_ningxia.tif", "SoilGrids", 140),
    _raster("bdod_0-5cm_mean.tif", "SoilGrids", 135),
    _raster("Sand1.tif", "CSCD", 52),
    _raster("clay1_ningxia.tif", "CSCD", 14),
    _raster("Beck_KG_V1_present_0p0083.tif", "Koeppen-Geiger", 14),
    _raster("koppen_subset.tif", "Koeppen-Geiger", 8),
    Sample("GMTED2010", "be30_grd", soil.ascii_grid),
    Sample("GMTED2010-mean", "mn15_grd.asc", soil.ascii_grid),
    Sample("GMTED2010-median", "md75_grd.txt", soil.ascii_grid),
    Sample("HWSD", soil.HWSD_NAME, soil.hwsd),
    Sample("CSDL", soil.CSDL_NAME, soil.csdl),
    Sample("CSDL", soil.CSDL_DENSITY_NAME, soil.csdl),
    Sample("CSDL", "POR.nc", soil.csdl),
    Sample("CSDL", "GRAV.nc", soil.csdl),
    Sample("SRTMGL3", "N37E105.hgt", srtm),
    Sample("SRTMGL1", "S01W180.hgt", lambda path: srtm(path, nodes=3601)),
    Sample("MOD11A1", modis.MOD11A1_NAME, modis.lst),
    Sample("MYD11A1", modis.MYD11A1_NAME, lambda path: modis.lst(path, name=modis.MYD11A1_NAME)),
    Sample("MYD21A1N", modis.MYD21A1N_NAME, modis.night),
    Sample(
        "MOD21A1N",
        modis.MYD21A1N_NAME.replace("MYD", "MOD"),
        lambda path: modis.night(path, name=modis.MYD21A1N_NAME.replace("MYD", "MOD")),
    ),
    Sample("MCD43A4", modis.MCD43A4_NAME, modis.nadir),
    Sample("MOD13A2", modis.MOD13A2_NAME, modis.vi),
    Sample("MYD13A2", modis.MYD13A2_NAME, lambda path: modis.vi(path, name=modis.MYD13A2_NAME)),
    Sample("MOD15A2H", modis.MOD15A2H_NAME, modis.lai),
    _aqua("MOD15A2H", modis.MOD15A2H_NAME, modis.lai),
    Sample("MOD09A1", modis.MOD09A1_NAME, modis.reflectance),
    _aqua("MOD09A1", modis.MOD09A1_NAME, modis.reflectance),
    Sample("MCD43A3", albedo.MCD43A3_NAME, albedo.tile),
    Sample("MCD43C3", albedo.MCD43C3_NAME, albedo.globe),
    Sample("MCD43D58", albedo.MCD43D58_NAME, albedo.band7),
    Sample("MCD12Q1", albedo.MCD12Q1_NAME, albedo.land_cover),
    Sample("VNP13A2", viirs.VNP13A2_NAME, viirs.vi),
    Sample("ESACCI-SM-COMBINED", coarse.COMBINED_NAME, coarse.cci),
    _image("ESACCI-SM-ACTIVE", coarse.ACTIVE_NAME),
    _image("ESACCI-SM-PASSIVE", coarse.PASSIVE_NAME),
    *(
        _image(f"C3S-SM-{kind}", coarse.C3S_NAME.format(kind))
        for kind in ("COMBINED", "ACTIVE", "PASSIVE")
    ),
    Sample("ESACCI-SM-cut", coarse.CCI_TIFF_NAME, coarse.cci_picture),
    Sample("AMSR-NN", coarse.NN_NAME, coarse.nn),
    Sample("AMSR-NN", coarse.NN_TIFF_NAME, coarse.nn_picture),
    Sample("AMSR2-L3-SM", coarse.JAXA_NAME, coarse.jaxa),
    Sample(
        "AMSR2-L3-SM",
        coarse.JAXA_COARSE_NAME,
        lambda path: coarse.jaxa(path, per_degree=4, name=coarse.JAXA_COARSE_NAME, start=-180),
    ),
    Sample("GPM_3IMERGDF", coarse.IMERG_NAME, coarse.imerg),
    Sample("GPM_3IMERGHH", coarse.HALF_HOUR_NAME, coarse.half_hour),
    Sample("GLDAS-Noah", coarse.GLDAS_NAME, coarse.ldas),
    Sample(
        "GLDAS-Noah",
        coarse.GLDAS_MONTH_NAME,
        lambda path: coarse.ldas(path, instant=datetime(2020, 1, 1, tzinfo=UTC), increment="1"),
    ),
    Sample("FLDAS-Noah", coarse.FLDAS_NAME, coarse.fldas),
    Sample("SPL2SMAP_S", coarse.SCENE_NAME, coarse.scene),
    Sample("SMAP-1km", coarse.SMAP_1KM_NAME, coarse.smap_1km),
    Sample("SoMo.ml", coarse.SOMO_NAME, coarse.somo),
    Sample("TerraClimate", coarse.PDSI_NAME, coarse.pdsi),
    Sample("zones", vectors.TERRAIN_NAME, vectors.zones),
    Sample("zones", vectors.BASINS_NAME, vectors.zones),
    Sample("ISMN", ISMN_NAME, ismn),
    Sample("ISMN", CEOP_NAME, ceop),
    Sample("ISMN", OLD_CEOP_NAME, old_ceop),
    Sample("station-table", TABLE_NAME, table),
    Sample("station-table", LIST_NAME, station_list),
    Sample("station-csv", STATION_CSV_NAME, station_csv),
)
