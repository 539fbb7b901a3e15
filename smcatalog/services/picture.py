"""A picture of a map beside the coarse cells that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.maps import PublishedMap
from smcatalog.core.moments import Moments
from smcatalog.database.engine import transaction
from smcatalog.database.series import StationDays, station_days
from smcatalog.products import Definition
from smcatalog.services.figures import need_matplotlib, new_figure, save_figure
from smcatalog.services.inputs import LayerIndex
from smcatalog.services.live import flat_coarse, live_published, soil_moisture
from smcatalog.services.truth import Truth
from smcatalog.services.workspace import Workspace
from smcatalog.validation.metrics import Scores

__all__ = ["CLEAREST", "draw_map"]

CLEAREST: Final = "clearest"
"""Stands for the day whose map shows most."""

_MOISTURE: Final = "YlGnBu"
_NOTHING: Final = "#dcdcdc"
_UNIT: Final = "soil moisture, m³ m⁻³"
_COLOURS: Final = {"station": "#222222", "map": "#1f6fb4", "coarse": "#e07b22"}

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """One image: values on the map's grid, title, colours and their limits."""

    values: Values
    title: str
    colours: str
    limits: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """A station's days, and map and coarse product at its pixel."""

    observed: StationDays
    days: tuple[date, ...]
    map: Values
    coarse: Values


def draw_map(
    workspace: Workspace,
    definition: Definition,
    day: date | None,
    out: Path,
    *,
    truth: Path | None = None,
    station: str | None = None,
) -> date:
    """Draw the live map of a day beside its coarse cells, as a PNG, and return the day.

    The third panel is the truth of a simulated world where that is given, else the map's uncertainty.

    Parameters
    ----------
    day : date or None
        None for the clearest day: whose map has most pixels with a retrieval of the coarse product
        beside them.
    truth : Path, optional
        Folder with the truth of a simulated world (`smcatalog.services.truth.Truth`).
    station : str, optional
        ``NETWORK/STATION`` whose series is drawn below, over the days of all live maps.

    Raises
    ------
    NotFoundError
        When there is no map of that day or no such station.
    UsageError
        When matplotlib is not installed, the station lies outside the map, the folder holds no truth of
        that day, or the file cannot be written.
    """
    need_matplotlib()
    maps, index = live_published(workspace, definition)
    beside = _Beside(workspace, definition, index)
    published = _chosen(beside, maps, day)
    series = _series(beside, maps, published.grid, station) if station else None
    panels = _panels(beside, published, Truth(truth) if truth else None)
    figure = _figure(panels, published.grid, series, published.period.day)
    days = list(published.period.days())
    when = f"{days[0]}" if len(days) == 1 else str(published.period)
    words = f"{definition.name}, {when}: soil moisture at 1 km"
    if truth is not None:
        words += "\nsimulated world: none of this was observed"
    figure.suptitle(words, fontsize=14)
    save_figure(figure, out)
    return published.period.day


@dataclass(frozen=True, slots=True)
class _Beside:
    """Reads maps and the coarse product laid flat beside them."""

    workspace: Workspace
    definition: Definition
    index: LayerIndex

    def map(self, published: PublishedMap) -> Values:
        return soil_moisture(self.workspace.store, published)

    def coarse(self, published: PublishedMap, where: Grid | None = None) -> Values:
        layers = self.index.inputs(published.period).coarse
        target = published.grid if where is None else where
        return flat_coarse(self.workspace.store, self.definition, layers, target)


def _chosen(beside: _Beside, maps: list[PublishedMap], day: date | None) -> PublishedMap:
    if day is not None:
        for published in maps:
            if published.period.day == day:
                return published
        raise NotFoundError(f"there is no map of {beside.definition.name} dated {day}")
    if not maps:
        raise NotFoundError(f"there is no map of {beside.definition.name}")

    def shows(published: PublishedMap) -> tuple[int, int]:
        valid = np.isfinite(beside.map(published))
        retrieved = np.isfinite(beside.coarse(published))
        return int((valid & retrieved).sum()), int(valid.sum())

    return max(maps, key=shows)


def _panels(beside: _Beside, published: PublishedMap, truth: Truth | None) -> list[_Panel]:
    source = beside.definition.coarse.source
    coarse, fine = beside.coarse(published), beside.map(published)
    if truth is None:
        limits = _limits(fine, coarse)
        spread = soil_moisture(beside.workspace.store, published, uncertainty=True)
        shown = spread[np.isfinite(spread)]
        top = float(np.percentile(shown, 99)) if shown.size else 0.1
        return [
            _Panel(coarse, f"{source}, as retrieved", _MOISTURE, limits),
            _Panel(fine, "map at 1 km", _MOISTURE, limits),
            _Panel(spread, "standard uncertainty of the map", "magma", (0.0, top)),
        ]
    if not truth.has(published):
        raise UsageError(f"there is no truth for {published.period} beside the map of that day")
    real = truth.of(published)
    limits = _limits(fine, coarse, real)
    common = np.isfinite(fine) & np.isfinite(coarse)  # numbers to compare are of the same pixels
    reference = np.where(common, real, np.nan) if common.any() else real
    return [
        _Panel(coarse, f"{source}, as retrieved{_agreement(coarse, reference)}", _MOISTURE, limits),
        _Panel(fine, f"map at 1 km{_agreement(fine, reference)}", _MOISTURE, limits),
        _Panel(real, "truth at 1 km\n", _MOISTURE, limits),
    ]


def _agreement(estimate: Values, truth: Values) -> str:
    scores = Scores.of(Moments.of(estimate.ravel(), truth.ravel()))
    if not scores.n:
        return "\n"
    return f"\nagainst the truth: R {scores.r:.2f}, RMSE {scores.rmse:.3f}"


def _limits(*images: Values) -> tuple[float, float]:
    """Return colour limits that hold nearly all values of all images."""
    shown = [values[np.isfinite(values)] for values in images]
    ends = [values for values in shown if values.size]
    if not ends:
        return 0.0, 0.6
    low = min(float(np.percentile(values, 1)) for values in ends)
    high = max(float(np.percentile(values, 99)) for values in ends)
    return low, max(high, low + 0.01)


def _series(beside: _Beside, maps: list[PublishedMap], where: Grid, station: str) -> _Series:
    network, _, name = station.partition("/")
    first, last = (maps[i].period for i in (0, -1))
    observed = transaction(
        beside.workspace.engine,
        lambda c: station_days(
            c, network, name, beside.definition.depths[0],
            next(first.days()), list(last.days())[-1],
        ),
    )  # fmt: skip
    _, _, (inside,) = where.locate(observed.longitude, observed.latitude)
    if not inside:
        raise UsageError(f"station {station} lies outside the maps of {beside.definition.name}")
    found = []
    for published in maps:
        (row,), (column,), (there,) = published.grid.locate(observed.longitude, observed.latitude)
        if there:
            rows, columns = slice(row, row + 1), slice(column, column + 1)
            value = soil_moisture(beside.workspace.store, published, rows, columns)[0, 0]
            coarse = beside.coarse(published, published.grid.window(rows, columns))[0, 0]
            found.append((published.period.day, value, coarse))
    days, values, coarse_values = zip(*found, strict=True)
    return _Series(observed, days, np.array(values), np.array(coarse_values))


def _figure(panels: list[_Panel], where: Grid, series: _Series | None, day: date) -> Any:
    height = 5.4 if series is None else 8.6
    figure = new_figure(15, height, dpi=110, pad=0.06)
    ratios = [1.0] if series is None else [1.9, 1.0]
    rows = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    axes: Any = rows[0].subgridspec(1, len(panels)).subplots()
    images = [_draw(axis, panel, where) for axis, panel in zip(axes, panels, strict=True)]
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    shared = [axis for axis, panel in zip(axes, panels, strict=True) if panel.colours == _MOISTURE]
    bar: dict[str, Any] = {"aspect": 30, "shrink": 0.9, "pad": 0.02}
    figure.colorbar(images[0], ax=shared, label=_UNIT, extend="both", **bar)
    if len(shared) < len(panels):
        figure.colorbar(images[-1], ax=axes[-1], label="m³ m⁻³", extend="max", **bar)
    if series is not None:
        for axis in axes:
            _mark_station(axis, where, series.observed)
        _draw_series(figure.add_subplot(rows[1]), series, day)
    return figure


def _draw(axis: Any, panel: _Panel, where: Grid) -> Any:
    box = where.geobox.boundingbox
    axis.set_facecolor(_NOTHING)
    image = axis.imshow(
        np.ma.masked_invalid(panel.values),
        extent=(box.left, box.right, box.bottom, box.top),
        cmap=panel.colours,
        vmin=panel.limits[0],
        vmax=panel.limits[1],
        interpolation="nearest",
    )
    if not np.isfinite(panel.values).any():
        axis.text(0.5, 0.5, "no value on this day", transform=axis.transAxes, ha="center")
    axis.set_title(panel.title, fontsize=11)
    west, south, east, north = where.bbox()
    # degrees are evenly long on the ground, the projection's metres are not
    middle = np.cos(np.radians((south + north) / 2))
    axis.set_aspect((north - south) / (box.top - box.bottom) * (box.right - box.left) / ((east - west) * middle))  # fmt: skip
    _label(axis.xaxis, _round_degrees(west, east), ("E", "W"), lambda x: _place(where, x, south)[0])
    _label(
        axis.yaxis, _round_degrees(south, north), ("N", "S"), lambda y: _place(where, west, y)[1]
    )
    return image


def _place(where: Grid, longitude: float, latitude: float) -> tuple[float, float]:
    from pyproj import Transformer

    to_plane = Transformer.from_crs("EPSG:4326", where.crs.wkt, always_xy=True)
    x, y = to_plane.transform(longitude, latitude)
    return float(x), float(y)


def _round_degrees(low: float, high: float) -> list[float]:
    steps = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
    step = next((s for s in steps if (high - low) / s <= 6), 30.0)  # noqa: PLR2004 - six labels fit
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [round(float(tick), 6) for tick in ticks]


def _label(axis: Any, degrees: list[float], letters: tuple[str, str], place: Any) -> None:
    names = [f"{abs(d):g}°{letters[0] if d >= 0 else letters[1]}" for d in degrees]
    axis.set_ticks([place(d) for d in degrees], labels=names)


def _mark_station(axis: Any, where: Grid, observed: StationDays) -> None:
    x, y = _place(where, observed.longitude, observed.latitude)
    axis.plot(x, y, "o", ms=8, mfc="none", mec="white", mew=3.2)
    axis.plot(x, y, "o", ms=8, mfc="none", mec="black", mew=1.6)


def _draw_series(axis: Any, series: _Series, day: date) -> None:
    from matplotlib import dates

    seen = series.observed
    axis.axvline(day, color="0.75", lw=6, alpha=0.5, zorder=0, label="day of the maps above")
    axis.plot(
        seen.days, seen.values, "-", color=_COLOURS["station"], lw=1.4, label="station, daily mean"
    )
    axis.plot(series.days, series.coarse, "s", ms=6, mfc="none", mew=1.5, color=_COLOURS["coarse"],
              label="coarse product")  # fmt: skip
    axis.plot(series.days, series.map, "o", ms=5.5, color=_COLOURS["map"], label="map at 1 km")
    axis.set_ylabel(_UNIT)
    axis.set_title(f"station {seen.network}/{seen.station} (circle)", fontsize=11)
    kinds: Any = dates
    locator = kinds.AutoDateLocator()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(kinds.ConciseDateFormatter(locator))
    axis.grid(color="0.9")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(ncols=4, frameon=False, loc="upper right")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.15 * (high - low))
