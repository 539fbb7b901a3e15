"""Tiny files of coarse and reference products, in the structures of their providers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
from affine import Affine

from smcatalog.core.grids import grid
from tests.factories.smap import degrees

DAY = date(2020, 1, 2)
COMBINED_NAME = "ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-20200102000000-fv04.5.nc"
ACTIVE_NAME = "ESACCI-SOILMOISTURE-L3S-SSMS-ACTIVE-20200102000000-fv06.1.nc"
PASSIVE_NAME = "ESACCI-SOILMOISTURE-L3S-SSMV-PASSIVE-20200102000000-fv09.1.nc"
C3S_NAME = "C3S-SOILMOISTURE-L3S-SSMV-{}-DAILY-20200102000000-TCDR-v202012.0.0.nc"
CCI_TIFF_NAME = "ESA_CCI_SM_v45_Delaware_20200102.tif"
NN_NAME = "NNsm-AMSR-2020002.nc"
NN_TIFF_NAME = "NNsm-AMSR2-2020002_D.tif"
JAXA_NAME = "GW1AM2_20200102_01D_EQMD_L3SGSMCHA3300300.h5"
JAXA_COARSE_NAME = "GW1AM2_20200102_01D_EQMD_L3SGSMCLA3300300.h5"
IMERG_NAME = "3B-DAY.MS.MRG.3IMERG.20200102-S000000-E235959.V07B.nc4"
HALF_HOUR_NAME = "3B-HHR.MS.MRG.3IMERG.20200102-S013000-E015959.0090.V07B.HDF5"
GLDAS_NAME = "GLDAS_NOAH025_3H.A20200102.0300.021.nc4"
GLDAS_MONTH_NAME = "GLDAS_NOAH025_M.A202001.021.nc4"
FLDAS_NAME = "FLDAS_NOAH01_C_GL_M.A202001.001.nc"
SCENE_NAME = "SMAP_L2_SM_SP_1AIWDV_20200101T104512_20200102T222512_105E37N_R17000_001.h5"
SMAP_1KM_NAME = "NSIDC-0779_EASE2_G1km_SMAP_SM_DS_20200102.tif"
SOMO_NAME = "SoMo.ml_v1_layer2_2020.nc"
PDSI_NAME = "TerraClimate_PDSI_2020.nc"

FLAGS = {0: "no_data_inconsistency_detected", 1: "snow_coverage_or_temperature_below_zero",
         2: "dense_vegetation", 3: "combination_of_flag_values_1_and_2",
         4: "others_no_convergence_in_the_model_thus_no_valid_sm_estimates",
         16: "weight_of_measurement_below_threshold"}  # fmt: skip


def dimension(file: h5py.Group, name: str, values: Any, **attributes: Any) -> None:
    data = file.create_dataset(name, data=values)
    data.make_scale(name)
    _describe(data, attributes)


def _describe(data: h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    # fixed-length text, as the netCDF library writes it
    data.attrs.update({k: np.bytes_(v) if isinstance(v, str) else v for k, v in attributes.items()})


def field(
    file: h5py.Group, name: str, values: np.ndarray, axes: tuple[str, ...], **attributes: Any
) -> None:
    data = file.create_dataset(name, data=values, compression="gzip")
    _describe(data, attributes)
    for i, axis in enumerate(axes):
        data.dims[i].attach_scale(file[axis])


def since(day: date, origin: date = date(1970, 1, 1)) -> int:
    return (day - origin).days


def cci(
    path: Path,
    values: np.ndarray | None = None,
    flags: np.ndarray | None = None,
    *,
    name: str = COMBINED_NAME,
    day: date = DAY,
    unit: str | None = None,
    corner: tuple[float, float] = (105.0, 38.0),
    meanings: Mapping[int, str] = FLAGS,
    kind: str = "flag_values",
    rising: bool = False,
    attributes: Mapping[str, str] | None = None,
) -> Path:
    """Write a daily image: ``values`` north first from a corner on, in the file as the release has them."""
    active = "-ACTIVE-" in name
    values = np.full((4, 5), 45.0 if active else 0.21) if values is None else values
    flags = np.zeros(values.shape) if flags is None else flags
    rows, columns = values.shape
    latitudes = corner[1] - 0.125 - 0.25 * np.arange(rows)
    order = slice(None, None, -1) if rising else slice(None)
    unit = ("percentage (%)" if active else "m3 m-3") if unit is None else unit
    with h5py.File(path, "w") as file:
        if name:
            file.attrs["id"] = np.bytes_(name)
        file.attrs.update({k: np.bytes_(v) for k, v in (attributes or {}).items()})
        dimension(file, "lat", latitudes[order].astype("f4"), units="degrees_north")
        dimension(
            file,
            "lon",
            (corner[0] + 0.125 + 0.25 * np.arange(columns)).astype("f4"),
            units="degrees_east",
        )
        dimension(
            file,
            "time",
            np.array([float(since(day))]),
            units="days since 1970-01-01 00:00:00 UTC",
            calendar="standard",
        )
        axes = ("time", "lat", "lon")
        filled = np.where(np.isnan(values), -9999, values)[order]
        field(
            file,
            "sm",
            filled[None].astype("f4"),
            axes,
            units=unit,
            _FillValue=np.array([-9999], "f4"),
        )
        field(file, "sm_uncertainty", np.where(filled < 0, -9999, filled / 10)[None].astype("f4"), axes,
              units=unit, _FillValue=np.array([-9999], "f4"))  # fmt: skip
        field(file, "flag", flags[order][None].astype("i1"), axes, _FillValue=np.array([127], "i1"),
              flag_meanings=" ".join(meanings.values()), **{kind: np.array(list(meanings), "i1")})  # fmt: skip
        field(file, "sensor", np.full((1, rows, columns), 64, "i2"), axes)
        field(
            file,
            "t0",
            np.full((1, rows, columns), since(day) + 0.1),
            axes,
            units="days since 1970-01-01 00:00:00 UTC",
        )
    return path


def cci_picture(path: Path, values: np.ndarray | None = None) -> Path:
    """Write a GeoTIFF as it was cut out of a release for Delaware."""
    low = -3.3999999521443642e38
    values = np.full((10, 8), 0.15, "f4") if values is None else values
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype="float32", nodata=low,
        crs="EPSG:4326", transform=Affine(0.25, 0, -76.5, 0, -0.25, 40.25), compress="lzw",
    ) as file:  # fmt: skip
        file.write(np.where(np.isnan(values), low, values).astype("f4"), 1)
    return path


def nn(
    path: Path, cells: Mapping[tuple[int, int], float] | None = None, *, turned: bool = False,
    south_first: bool = False, unit: str | None = None, shift: float = 0.0,
) -> Path:  # fmt: skip
    """Write a day's field of the neural network."""
    values = np.full(grid("M36").shape, np.nan, "f4")
    for place, value in (cells or {(80, 760): 0.21, (82, 763): 0.32}).items():
        values[place] = value
    latitude, longitude = degrees("M36")
    if south_first:
        values, latitude = values[::-1], latitude[::-1]
    with h5py.File(path, "w") as file:
        file["latitude"] = (latitude + shift).astype("f4")[:, None]
        file["longitude"] = longitude.astype("f4")[:, None]
        data = file.create_dataset(
            "soil_moisture", data=values.T if turned else values, compression="gzip"
        )
        if unit:
            data.attrs["units"] = np.bytes_(unit)
    return path


def nn_picture(path: Path, values: np.ndarray | None = None, *, shift: float = 0.0) -> Path:
    """Write a part of a field as GeoTIFF."""
    whole = grid("M36")
    values = np.full((3, 4), 0.21, "f4") if values is None else values
    t = whole.transform * Affine.translation(760 + shift, 80)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype="float32", nodata=-9999,
        crs="EPSG:6933", transform=t,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def jaxa(
    path: Path, percent: Mapping[tuple[int, int], float] | None = None, *, per_degree: int = 10, name: str = JAXA_NAME,
    start: int = 0, began: str = "2020-01-02T00:12:00.000Z", quantity: str = "Soil Moisture Content", code: int = -32768,
) -> Path:  # fmt: skip
    """Write a map of AMSR2; ``percent`` by row and column of the globe's grid from 180 degrees west.

    ``start`` is the longitude at which columns begin.
    """
    rows, columns = 180 * per_degree, 360 * per_degree
    values = np.full((rows, columns), code, "i2")
    # cells of Africa, where retrievals are the rule, and the ones that are asked for
    values[rows // 2, columns // 2 + 20 * per_degree] = 300
    for place, share in (percent or {(52 * per_degree, 285 * per_degree): 21.0}).items():
        values[place] = round(share * 10)
    values = np.roll(values, -(start + 180) * per_degree, axis=1)
    with h5py.File(path, "w") as file:
        file.attrs.update({
            "GranuleID": name.removesuffix(".h5"), "GeophysicalName": quantity, "ProductName": "AMSR2-L3",
            "OrbitDirection": "Descending", "ObservationStartDateTime": began,
        })  # fmt: skip
        data = file.create_dataset(
            "Geophysical Data", data=values[..., None], compression="gzip", chunks=(90, 360, 1)
        )
        data.attrs["SCALE FACTOR"] = np.array([0.1], "f4")
        data.attrs["UNIT"] = "%"
        file.create_dataset(
            "Time Information", data=np.full((rows, columns), 100, "i2"), compression="gzip"
        )
    return path


def imerg(
    path: Path, values: np.ndarray | None = None, counts: np.ndarray | None = None, *, name: str = IMERG_NAME,
    variable: str = "precipitation", unit: str = "mm/day", corner: tuple[float, float] = (105.0, 38.0),
    day: date = DAY,
) -> Path:  # fmt: skip
    """Write a part of a daily file; ``values`` north first."""
    values = np.arange(20.0).reshape(4, 5) if values is None else values
    counts = np.full(values.shape, 48) if counts is None else counts
    rows, columns = values.shape
    with h5py.File(path, "w") as file:
        file.attrs["FileHeader"] = np.bytes_(
            f"AlgorithmID=3IMERGD;\nFileName={name};\nTimeInterval=DAY;\n"
        )
        _place(file, corner, (rows, columns))
        dimension(
            file,
            "time",
            np.array([since(day)], "i4"),
            units="days since 1970-01-01 00:00:00Z",
            calendar="standard",
        )
        axes = ("time", "lon", "lat")
        field(
            file,
            variable,
            _turned(values, -9999.9),
            axes,
            units=unit,
            _FillValue=np.array([-9999.9], "f4"),
        )
        field(file, f"{variable}_cnt", counts[::-1].T[None].astype("i1"), axes, units="count")
    return path


def half_hour(
    path: Path, values: np.ndarray | None = None, *, name: str = HALF_HOUR_NAME, variable: str = "precipitation",
    start: datetime = datetime(2020, 1, 2, 1, 30, tzinfo=UTC), corner: tuple[float, float] = (105.0, 38.0),
) -> Path:  # fmt: skip
    """Write a part of a half-hourly file; ``values`` [mm/hr] north first."""
    values = np.arange(20.0).reshape(4, 5) if values is None else values
    with h5py.File(path, "w") as file:
        file.attrs["FileHeader"] = np.bytes_(
            f"AlgorithmID=3IMERGHH;\nFileName={name};\nTimeInterval=HALF_HOUR;\n"
        )
        group = file.create_group("Grid")
        _place(group, corner, values.shape)
        seconds = (start - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        dimension(
            group,
            "time",
            np.array([seconds], "i8"),
            units="seconds since 1970-01-01 00:00:00 UTC",
            calendar="julian",
        )
        if variable:
            field(group, variable, _turned(values, -9999.9), ("time", "lon", "lat"), units="mm/hr",
                  _FillValue=np.array([-9999.9], "f4"))  # fmt: skip
    return path


def _place(
    file: h5py.Group, corner: tuple[float, float], shape: tuple[int, ...], step: float = 0.1
) -> None:
    """Write coordinates of cells, latitudes rising."""
    rows, columns = shape
    dimension(
        file,
        "lon",
        (corner[0] + step * (np.arange(columns) + 0.5)).astype("f4"),
        units="degrees_east",
    )
    dimension(
        file,
        "lat",
        (corner[1] - step * (np.arange(rows) + 0.5))[::-1].astype("f4"),
        units="degrees_north",
    )


def _turned(values: np.ndarray, fill: float) -> np.ndarray:
    """Return a map as (time, lon, lat), latitudes rising."""
    return np.where(np.isnan(values), fill, values)[::-1].T[None].astype("f4")


def ldas(
    path: Path, layers: Mapping[str, float | np.ndarray] | None = None, *, unit: str = "kg m-2", step: float = 0.25,
    instant: datetime = datetime(2020, 1, 2, 3, tzinfo=UTC), axes: tuple[str, str] = ("lat", "lon"), corner: tuple[float, float] = (105.0, 38.0),
    increment: str = "180",
) -> Path:  # fmt: skip
    """Write a part of a file of a land surface model."""
    layers = {"SoilMoi0_10cm_inst": 21.0, "SoilMoi10_40cm_inst": 75.0} if layers is None else layers
    with h5py.File(path, "w") as file:
        y, x = axes
        dimension(
            file,
            y,
            (corner[1] - step * (np.arange(4) + 0.5))[::-1].astype("f4"),
            units="degrees_north",
        )
        dimension(
            file, x, (corner[0] + step * (np.arange(5) + 0.5)).astype("f4"), units="degrees_east"
        )
        minutes = (instant - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() / 60
        dimension(
            file,
            "time",
            np.array([minutes]),
            units=" minutes since 2000-01-01 00:00:00",
            time_increment=increment,
        )
        for name, value in layers.items():
            whole = np.broadcast_to(value, (4, 5))
            field(
                file,
                name,
                whole[::-1][None].astype("f4"),
                ("time", y, x),
                units=unit,
                _FillValue=np.array([-9999], "f4"),
            )
    return path


def fldas(path: Path) -> Path:
    """Write a month of FLDAS."""
    layers = {"SoilMoi00_10cm_tavg": 0.21, "SoilMoi100_200cm_tavg": 0.32}
    return ldas(
        path,
        layers,
        unit="m^3 m-3",
        step=0.1,
        instant=datetime(2020, 1, 1, tzinfo=UTC),
        axes=("Y", "X"),
        increment="1",
    )


def scene(
    path: Path, *, name: str | None = SCENE_NAME, groups: tuple[str, ...] = ("3km", "1km"), shift: float = 0.0,
    twice: bool = False,
) -> Path:  # fmt: skip
    """Write a scene of 2 x 3 cells of 3 km and of 6 x 9 of 1 km; one of each is fill, one not recommended."""
    with h5py.File(path, "w") as file:
        if name is not None:
            place = file.create_group("Metadata/DatasetIdentification")
            place.attrs.update({"fileName": name, "shortName": "SPL2SMAP_S"})
        for end in groups:
            base = {"3km": "M03", "1km": "M01"}[end]
            ratio = {"3km": 1, "1km": 3}[end]
            group = file.create_group(f"Soil_Moisture_Retrieval_Data_{end}")
            rows, columns = np.meshgrid(
                960 * ratio + np.arange(2 * ratio),
                9150 * ratio + np.arange(3 * ratio),
                indexing="ij",
            )
            if twice:
                rows[:] = rows[0, 0]
            latitude, longitude = degrees(base)
            values = np.full(rows.shape, 0.21, "f4")
            values[0, 1] = -9999
            quality = np.zeros(rows.shape, "u2")
            quality[-1, -1] = 1
            for key, data in {
                "EASE_row_index": rows.astype("u2"), "EASE_column_index": columns.astype("u2"),
                "latitude": latitude[rows].astype("f4"), "longitude": (longitude[columns] + shift).astype("f4"),
                "soil_moisture": values, "retrieval_qual_flag": quality, "surface_flag": np.zeros(rows.shape, "u2"),
            }.items():  # fmt: skip
                stored = group.create_dataset(f"{key}_{end}", data=data)
                if key == "soil_moisture":
                    stored.attrs.update(
                        {"units": np.bytes_("cm**3/cm**3"), "_FillValue": np.float32(-9999)}
                    )
    return path


def smap_1km(
    path: Path,
    am: np.ndarray | None = None,
    pm: np.ndarray | None = None,
    *,
    corner: tuple[float, float] = (2880, 27450),
) -> Path:
    """Write a part of a day of NSIDC-0779 from a row and column of the grid of 1 km on."""
    am = np.full((6, 7), 0.21, "f4") if am is None else am
    pm = np.full(am.shape, 0.25, "f4") if pm is None else pm
    t = grid("M01").transform * Affine.translation(corner[1], corner[0])
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=am.shape[0], width=am.shape[1], dtype="float32", nodata=-9999,
        crs="EPSG:6933", transform=t, compress="deflate",
    ) as file:  # fmt: skip
        for i, values in enumerate((am, pm), 1):
            file.write(np.where(np.isnan(values), -9999, values).astype("f4"), i)
    return path


def somo(
    path: Path,
    values: np.ndarray | None = None,
    *,
    layer: str = "layer2",
    first: date = date(2020, 1, 1),
    unit: str = "m3/m3",
) -> Path:
    """Write days of a layer on cells around 105 degrees east, 38 north."""
    values = (
        np.stack([np.full((3, 4), 0.2 + 0.01 * i) for i in range(3)]) if values is None else values
    )
    days, rows, columns = values.shape
    with h5py.File(path, "w") as file:
        dimension(file, "lat", 38.0 - 0.25 * np.arange(rows), units="degrees_north")
        dimension(file, "lon", 105.0 + 0.25 * np.arange(columns), units="degrees_east")
        dimension(
            file,
            "time",
            np.arange(days),
            units=f"days since {first}",
            calendar="proleptic_gregorian",
        )
        field(
            file,
            layer,
            values.astype("f4"),
            ("time", "lat", "lon"),
            units=unit,
            _FillValue=np.array([np.nan], "f4"),
        )
    return path


def pdsi(
    path: Path, values: np.ndarray | None = None, *, name: str = "PDSI", first: date = date(2020, 1, 1), scale: float | None = 0.01,
    corner: tuple[float, float] = (105.0, 38.0),
) -> Path:  # fmt: skip
    """Write two months of the index, north first."""
    values = np.stack([np.full((4, 6), -2.5), np.full((4, 6), 1.25)]) if values is None else values
    months, rows, columns = values.shape
    days = [
        since(
            date(first.year + (first.month - 1 + i) // 12, (first.month - 1 + i) % 12 + 1, 1),
            date(1900, 1, 1),
        )
        for i in range(months)
    ]
    with h5py.File(path, "w") as file:
        dimension(file, "lat", corner[1] - (np.arange(rows) + 0.5) / 24, units="degrees_north")
        dimension(file, "lon", corner[0] + (np.arange(columns) + 0.5) / 24, units="degrees_east")
        dimension(
            file, "time", np.array(days, "i4"), units="days since 1900-01-01", calendar="gregorian"
        )
        stored = np.where(np.isnan(values), -32768, np.rint(values * 100)).astype("i2")
        extra = (
            {}
            if scale is None
            else {"scale_factor": np.float64(scale), "add_offset": np.float64(0)}
        )
        field(
            file,
            name,
            stored,
            ("time", "lat", "lon"),
            units="unitless",
            _FillValue=np.array([-32768], "i2"),
            **extra,
        )
    return path
