"""Water, vegetation and surface temperature of the simulated world, a day at a time.

A bucket of ten layers with drainage, capillary exchange, evaporation and uptake by roots; vegetation that
follows water and warmth with a lag; a surface temperature from the balance of energy; snow, frost
and irrigation. Made to be plausible, not to be right: what the methods must find is that the same
water that cools the surface and greens the land is what the radiometer averages.

The module knows nothing of sensors, formats or methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Array, Landscape
from ingest.world.noise import field
from ingest.world.state import LAYERS_CM, DayState
from ingest.world.weather import Weather, night_clouds, sun_height, weather
from smcatalog.core.time import DAY

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["albedo", "beginning", "days"]

_T = TypeVar("_T", bound="DataclassInstance")
_THREADS: Final = 2
_STRIP: Final = 84
"""Rows whose ten layers stay in a processor's cache."""

_THICKNESS: Final = np.diff(LAYERS_CM).astype(np.float32) * 10.0
"""Of the layers [mm]."""
_MIDDLE_CM: Final = (np.array(LAYERS_CM[1:]) + np.array(LAYERS_CM[:-1])) / 2
_BARE: Final = 0.10
"""NDVI of bare soil."""
_FULL: Final = 0.88
"""NDVI at which vegetation hides the soil."""
_ZERO: Final = 273.15
_SPIN_UP: Final = timedelta(days=150)
_TURNS: Final = 11
"""Days between two turns of irrigation."""


@dataclass(slots=True)
class _Stores:
    """What a day hands on to the next; shapes (rows, columns), the profile (10, rows, columns)."""

    profile: Array
    snow: Array
    soil_temperature: Array
    warmth: Array
    ndvi: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Fluxes:
    """Where a day's water went [mm], and how freely plants find it [0…1]."""

    arriving: Array
    evaporation: Array
    runoff: Array
    drainage: Array
    freedom: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Constants:
    """What follows from the landscape once for all."""

    roots: Array
    drained: Array
    retained: Array
    turn: NDArray[np.int64]


def days(
    land: Landscape, first: date, last: date, *, tell: Callable[[date], None] = lambda _: None
) -> Iterator[DayState]:
    """Yield the states of the days from ``first`` to ``last``, both included.

    Parameters
    ----------
    tell : callable, optional
        Called with each day that is simulated, from `beginning` on.
    """
    stores, constants = _begin(land), _constants(land)
    day = beginning(first)
    with ThreadPoolExecutor(_THREADS) as threads:
        skies = threads.submit(weather, land, day)
        while day <= last:
            tell(day)
            sky = skies.result()
            skies = threads.submit(weather, land, day + DAY)  # no day's weather needs its water
            before = stores.profile
            freedom = _balance(land, constants, stores, sky, day, threads).freedom
            if day >= first:
                yield _state(land, stores, sky, before, freedom, day)
            day += DAY


def beginning(first: date) -> date:
    """Return the day on which the water balance begins for states from ``first`` on.

    A first of October, at least 150 days before: simulations that begin in the same half of a year
    see the same world.
    """
    autumn = date(first.year, 10, 1)
    while first - autumn < _SPIN_UP:
        autumn = autumn.replace(year=autumn.year - 1)
    return autumn


def _begin(land: Landscape) -> _Stores:
    p, shape = land.preset, land.grid.shape
    some = land.wilting + 0.4 * (land.capacity - land.wilting)
    cold = np.full(shape, p.temperature - p.seasonality, np.float32)
    cold -= np.float32(0.006) * (land.elevation - np.float32(p.lowland))
    ndvi = np.full(shape, 0.5 * (_BARE + p.green) * 0.6, np.float32)
    profile = np.repeat(some[np.newaxis], len(_THICKNESS), axis=0).astype(np.float32)
    return _Stores(profile, np.zeros(shape, np.float32), cold.copy(), cold, ndvi)


def _constants(land: Landscape) -> _Constants:
    shallow, deep = (np.exp(-_MIDDLE_CM / length) * _THICKNESS for length in (18.0, 45.0))
    share = land.woody[np.newaxis]
    roots = (1 - share) * (shallow / shallow.sum())[:, None, None]
    roots = roots + share * (deep / deep.sum())[:, None, None]
    # loose soil gives off what it cannot hold within hours, heavy soil within days
    drained = 1.0 - np.exp(-land.conductivity / 350.0)
    retained = np.maximum(land.capacity - land.wilting, 0.02)
    x, y = (centres / 1000.0 for centres in land.grid.centres())
    phase = field(land.seed, "turns", x, y, longest=24.0, shortest=1.5, roughness=0.8)
    turn = np.floor(phase * 7.0).astype(np.int64) % _TURNS
    return _Constants(
        roots.astype(np.float32), drained.astype(np.float32), retained.astype(np.float32), turn
    )


def _balance(
    land: Landscape,
    constants: _Constants,
    stores: _Stores,
    sky: Weather,
    day: date,
    threads: Executor,
) -> _Fluxes:
    """Move the day's water, let plants follow, and say where the water went.

    Cells are alone, so strips of the region go at once.
    """
    held = replace(stores)
    for f in fields(stores):
        setattr(stores, f.name, np.empty_like(getattr(held, f.name)))

    def strip(first: int) -> _Fluxes:
        rows = slice(first, first + _STRIP)
        part, ground, air = _strip(held, rows), _strip(land, rows), _strip(sky, rows)
        part.profile = part.profile.copy()
        fluxes = _move(ground, _strip(constants, rows), part, air, day)
        _grow(ground, part, air, fluxes.freedom)
        for f in fields(stores):
            getattr(stores, f.name)[..., rows, :] = getattr(part, f.name)
        return fluxes

    parts = list(threads.map(strip, range(0, land.grid.shape[0], _STRIP)))
    return _Fluxes(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(_Fluxes)))


def _strip(whole: _T, rows: slice) -> _T:
    """Return a value whose arrays are those of some rows of the region."""
    cut = {
        f.name: array[..., rows, :]
        for f in fields(whole)
        if isinstance(array := getattr(whole, f.name), np.ndarray) and array.ndim > 1
    }
    return replace(whole, **cut)


def _move(
    land: Landscape, constants: _Constants, stores: _Stores, sky: Weather, day: date
) -> _Fluxes:
    """Move the day's water of some rows.

    Every millimetre that comes in stays, evaporates, drains or runs off; no layer leaves the range from
    nothing to its porosity.
    """
    profile = stores.profile
    frozen = stores.soil_temperature < np.float32(-0.5)
    arriving = _melt(stores, sky) + _irrigation(land, constants, profile, sky, day)
    demand = np.where(stores.snow > 1.0, np.float32(0.1), np.float32(1.0)) * sky.demand
    demand = np.where(frozen, np.float32(0.2), np.float32(1.0)) * demand
    cover = _fraction(stores.ndvi)
    # evaporation from the soil: as the surface dries it closes itself
    driest = np.float32(0.4) * land.wilting
    reach = np.clip((profile[0] - driest) / (land.capacity - driest), 0.0, 1.0)
    open_soil = demand * (1 - cover) * reach**2
    evaporation = np.zeros_like(demand)
    for i, share in enumerate((0.85, 0.15)):
        taken = np.minimum(share * open_soil, 0.4 * profile[i] * _THICKNESS[i])
        profile[i] -= taken / _THICKNESS[i]
        evaporation += taken
    free = np.clip((profile - land.wilting) / (0.55 * constants.retained), 0.0, 1.0)
    uptake = np.minimum(
        demand * cover * constants.roots * free, 0.4 * profile * _THICKNESS[:, None, None]
    )
    profile -= uptake / _THICKNESS[:, None, None]
    runoff, drainage = _infiltrate(land, constants, profile, arriving, frozen)
    _exchange(land, constants, profile)
    over = np.maximum(profile - land.porosity, 0.0)
    profile -= over
    runoff = runoff + np.tensordot(_THICKNESS, over, axes=1)
    profile[:, land.water] = land.porosity[land.water]
    return _Fluxes(
        arriving=arriving,
        evaporation=evaporation + uptake.sum(axis=0),
        runoff=runoff,
        drainage=drainage,
        freedom=np.sum(constants.roots * free, axis=0),
    )


def _melt(stores: _Stores, sky: Weather) -> Array:
    """Add the day's snow to the pack and return the liquid water that reaches the ground [mm]."""
    falls = np.clip((1.5 - sky.mean) / 3.0, 0.0, 1.0)
    stores.snow = stores.snow + sky.rain * falls
    melt = np.minimum(stores.snow, 3.5 * np.maximum(sky.mean, 0.0))
    stores.snow = stores.snow - melt
    liquid: Array = sky.rain * (1 - falls) + melt
    return liquid


def _irrigation(
    land: Landscape, constants: _Constants, profile: Array, sky: Weather, day: date
) -> Array:
    """Water the fields whose turn it is, when their roots run dry in the warm season [mm]."""
    turn = constants.turn == day.toordinal() % _TURNS
    wants = turn & (land.irrigated > 0.03) & (sky.mean > 9.0)  # noqa: PLR2004 - share, degC
    if not wants.any():
        return np.zeros(sky.mean.shape, np.float32)
    water = np.tensordot(_THICKNESS[:5], profile[:5], axes=1) / _THICKNESS[:5].sum()
    dry = water < land.wilting + 0.6 * constants.retained
    return np.where(wants & dry, np.float32(55.0) * land.irrigated, np.float32(0.0))


def _infiltrate(
    land: Landscape,
    constants: _Constants,
    profile: Array,
    arriving: Array,
    frozen: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Let water in from above and drain each layer to the one below; return runoff and drainage."""
    wetness = profile[0] / land.porosity
    enters = (
        arriving * (1.0 - 0.7 * wetness**4) * np.where(frozen, np.float32(0.3), np.float32(1.0))
    )
    coming = np.minimum(enters, land.conductivity)
    runoff = arriving - coming
    drained = np.where(frozen, np.float32(0.0), constants.drained)
    for i, thickness in enumerate(_THICKNESS):
        profile[i] += coming / thickness
        above = np.maximum(profile[i] - land.capacity, 0.0)
        over = np.maximum(profile[i] - land.porosity, 0.0)
        leaves = np.maximum(above * drained, over)
        profile[i] -= leaves
        coming = leaves * thickness
    return runoff, coming


def _exchange(land: Landscape, constants: _Constants, profile: Array) -> None:
    """Let neighbouring layers even out the share of their capacity that is filled."""
    filled = (profile - land.wilting) / constants.retained
    for i in range(len(_THICKNESS) - 1):
        distance = (_THICKNESS[i] + _THICKNESS[i + 1]) / 2
        # liquid moves faster where there is more of it
        ease = np.clip((filled[i] + filled[i + 1]) / 2, 0.05, 1.0)
        moves = 55.0 * ease * (filled[i + 1] - filled[i]) * constants.retained / distance
        limit = 0.2 * np.minimum(_THICKNESS[i] * profile[i], _THICKNESS[i + 1] * profile[i + 1])
        moves = np.clip(moves, -limit, limit)
        profile[i] += moves / _THICKNESS[i]
        profile[i + 1] -= moves / _THICKNESS[i + 1]


def _grow(land: Landscape, stores: _Stores, sky: Weather, freedom: Array) -> None:
    """Let soil temperature, warmth and vegetation follow the day."""
    insulated = np.where(stores.snow > 10.0, np.float32(0.03), np.float32(0.12))  # noqa: PLR2004 - mm
    stores.soil_temperature = (
        stores.soil_temperature + insulated * (sky.mean - stores.soil_temperature)
    ).astype(np.float32)
    stores.warmth = (stores.warmth + (sky.mean - stores.warmth) / 20.0).astype(np.float32)
    season = np.clip((stores.warmth - 3.0) / 14.0, 0.0, 1.0)
    wanted = _BARE + (land.cover - _BARE) * season * (0.22 + 0.78 * freedom)
    lag = np.where(wanted > stores.ndvi, np.float32(1 / 14.0), np.float32(1 / 22.0))
    stores.ndvi = (stores.ndvi + lag * (wanted - stores.ndvi)).astype(np.float32)


def _fraction(ndvi: Array) -> Array:
    """Return the share of the ground that vegetation covers, after Carlson and Ripley (1997)."""
    fraction: Array = (np.clip((ndvi - _BARE) / (_FULL - _BARE), 0.0, 1.0) ** 1.5).astype(
        np.float32
    )
    return fraction


def _state(
    land: Landscape, stores: _Stores, sky: Weather, before: Array, freedom: Array, day: date
) -> DayState:
    snowy, ndvi = stores.snow > 5.0, stores.ndvi  # noqa: PLR2004 - mm
    seen = np.where(land.water, np.float32(-0.05), np.where(snowy, np.float32(0.02), ndvi))
    woody = land.woody * np.clip(ndvi / 0.6, 0.4, 1.2)
    canopy = np.maximum(1.9134 * ndvi**2 - 0.3215 * ndvi, 0.0) + 7.0 * woody
    blank = np.empty_like(ndvi)
    state = DayState(
        land=land, day=day, before=before, after=stores.profile,
        rain=sky.rain, rain_hour=sky.rain_hour, coldest=sky.coldest, warmest=sky.warmest,
        snow=stores.snow, frozen=stores.soil_temperature < np.float32(-0.5),
        ndvi=seen.astype(np.float32), evi=(0.02 + 0.66 * np.maximum(seen, 0.0) ** 1.25).astype(np.float32),
        vegetation_water=canopy.astype(np.float32),
        lst_day=blank, lst_night=blank.copy(), cloud_day=sky.cloud_day, cloud_night=night_clouds(land, day, sky.rain),
    )  # fmt: skip
    state.lst_day[:] = _surface_by_day(state, sky, freedom)
    state.lst_night[:] = _surface_by_night(state)
    return state


def _surface_by_day(state: DayState, sky: Weather, freedom: Array) -> Array:
    """Return the surface temperature at 10:30 from the balance of energy [K].

    Radiation that neither the ground stores nor water carries off as vapour warms the air from the
    surface: LST = Ta + ra (Rn - G)(1 - EF) / (rho cp).
    """
    land = state.land
    hour = land.utc_hour(10.5)
    cover, surface = _fraction(np.maximum(state.ndvi, 0.0)), state.surface(hour)
    height = sun_height(land.latitude, state.day, 10.5)[:, np.newaxis].astype(np.float32)
    filled = _filled(land, surface)
    snowy = state.snow > 5.0  # noqa: PLR2004 - mm
    sunshine = 1361.0 * height * np.where(state.cloud_day, 0.33, 0.72) * land.sunward
    net = sunshine * (1 - _ground_albedo(cover, filled, snowy)) - np.where(
        state.cloud_day, 40.0, 95.0
    )
    available = np.maximum(net, 0.0) * (0.72 + 0.2 * cover)
    vapour = 0.85 * (1 - cover) * filled**1.5 + 0.88 * cover * freedom
    resistance = 52.0 * sky.calm * (1 - 0.35 * cover) * (1 - 0.45 * land.woody)
    density = 1200.0 * np.exp(-land.elevation / 8500.0)
    warmer = available * (1 - np.clip(vapour, 0.0, 0.92)) * resistance / density
    air = state.air_temperature(hour)
    lst = air + warmer
    lst = np.where(snowy, np.minimum(lst, 0.5), lst)
    lst = np.where(land.water, (state.coldest + state.warmest) / 2 + 1.0, lst)
    return (_ZERO + lst).astype(np.float32)


def _filled(land: Landscape, surface: Array) -> Array:
    """Return how wet the surface looks, from air-dry, 0, to field capacity, 1."""
    dry = 0.4 * land.wilting
    filled: Array = np.clip((surface - dry) / (land.capacity - dry), 0, 1)
    return filled


def _ground_albedo(cover: Array, filled: Array, snowy: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the shortwave albedo of land: wet soil is darker than dry, snow brighter than all."""
    return np.where(snowy, 0.65, (1 - cover) * (0.29 - 0.10 * filled) + cover * 0.19)


def albedo(state: DayState) -> Array:
    """Return the shortwave albedo at 10:30 solar time: on land that which its temperature feels."""
    land = state.land
    cover = _fraction(np.maximum(state.ndvi, 0.0))
    filled = _filled(land, state.surface(land.utc_hour(10.5)))
    snowy = state.snow > 5.0  # noqa: PLR2004 - mm
    return np.where(land.water, 0.06, _ground_albedo(cover, filled, snowy)).astype(np.float32)


def _surface_by_night(state: DayState) -> Array:
    """Return the surface temperature at 22:30 [K]: dry bare ground under a clear sky cools most."""
    land = state.land
    hour = land.utc_hour(22.5)
    cover = _fraction(np.maximum(state.ndvi, 0.0))
    filled = np.clip(state.surface(hour) / land.porosity, 0.0, 1.0)
    loses = np.where(state.cloud_night, 0.8, 4.5) * (1 - 0.5 * cover) * (1 - 0.6 * filled)
    lst = state.air_temperature(hour) - loses
    lst = np.where(land.water, (state.coldest + state.warmest) / 2 + 1.5, lst)
    return (_ZERO + lst).astype(np.float32)
