"""What a product, or the name of a source, asks for, and what the database has of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Engine

from ingest.acquisition.offers import OFFERS, ClimateOffer, EarthdataOffer, offer_of
from ingest.acquisition.values import FileReport, Held, Outcome, Request
from smcatalog.core.grids import BBox, grid
from smcatalog.core.time import DAY, Period
from smcatalog.database.engine import transaction
from smcatalog.database.inputs import GranuleRecord, LayerRecord, granules_between, layers_of
from smcatalog.products import Covariate, Definition, TimeRule

__all__ = ["held_by", "requests_of", "unoffered"]

_COMPOSITE: Final = 16
"""Days that the longest of the composites that are offered holds; one that began before may reach into the first."""
_WHOLE_TURN: Final = 360.0


def requests_of(
    definition: Definition, first: date, last: date, bbox: BBox | None = None
) -> list[Request]:
    """Return what the maps of a product from a day to another are made of, one request a source.

    Parameters
    ----------
    bbox : (west, south, east, north), optional
        Another region than the product's.

    Notes
    -----
    The days reach as far behind the last as the product looks ahead, and as far before the first as a composite may
    be old. Days that only its models learn from are not among them: ask for the days of whole partitions.
    """
    bbox = bbox or definition.bbox
    ahead = last + definition.look_ahead_days * DAY
    windows: dict[str, list[date | None]] = {definition.coarse.source: [first, ahead]}
    variables: dict[str, set[str]] = {definition.coarse.source: {definition.coarse.variable}}
    for one in definition.covariates:
        begin, end = _window(one, first, ahead)
        window = windows.setdefault(one.source, [begin, end])
        window[0] = min(filter(None, (window[0], begin)), default=None)
        window[1] = max(filter(None, (window[1], end)), default=None)
        variables.setdefault(one.source, set()).add(one.variable)
    requests = []
    for source, (begin, end) in windows.items():
        # a field that never changes, in files that have dates: those of any day
        any_day = begin is None and source in OFFERS and not OFFERS[source].static
        span = (first, first) if any_day else (begin, end)
        requests.append(Request(source, *span, bbox, frozenset(variables[source])))
    return requests


def _window(covariate: Covariate, first: date, last: date) -> tuple[date | None, date | None]:
    match covariate.time:
        case TimeRule.STATIC:
            return None, None
        case TimeRule.HOLDING:
            return first - (covariate.max_age_days + _COMPOSITE) * DAY, last
        case TimeRule.WINDOW_SUM | TimeRule.ANTECEDENT:
            return first - (len(covariate.day_weights) - 1) * DAY, last
        case TimeRule.CENTRED_MEAN | TimeRule.INTERPOLATED | TimeRule.SMOOTHED:
            # what lies ahead is in the product's look-ahead; a composite is dated by its middle
            return first - (
                covariate.ahead_days + _COMPOSITE // 2
            ) * DAY, last + _COMPOSITE // 2 * DAY
    return first, last


def unoffered(
    engine: Engine, requests: Iterable[Request]
) -> tuple[list[Request], list[FileReport]]:
    """Set those requests apart that nobody serves.

    Returns
    -------
    requests
        Those that a provider is declared for.
    reports : list of FileReport
        One failure a source that nobody offers and that the database has nothing of.
    """
    served, missing = [], []
    for request in requests:
        if request.source in OFFERS:
            served.append(request)
        elif not _recorded(engine, request):
            reason = "no provider is declared for it, and the database has none: ingest it by hand"
            missing.append(FileReport(request.source, "", Outcome.FAILED, 0, reason))
    return served, missing


def _span(request: Request, margin: timedelta = DAY) -> Period | None:
    """Return the time of a request with a margin: half orbits reach over midnight."""
    if request.first is None or request.last is None:
        return None
    whole = Period.of_days(request.first, request.last)
    return Period(whole.start - margin, whole.end + margin)


def _recorded(engine: Engine, request: Request) -> list[GranuleRecord]:
    static = request.source in OFFERS and OFFERS[request.source].static
    span = None if static else _span(request)
    return transaction(engine, lambda c: granules_between(c, request.source, span))


def held_by(engine: Engine, request: Request) -> Held:
    """Return what the database has of a request."""
    offer = offer_of(request.source)
    recorded = _recorded(engine, request)
    if isinstance(offer, EarthdataOffer):
        return Held(tuple(recorded))
    gives = sorted({variable for part in offer.parts for variable in part.gives})
    pairs = [(request.source, variable) for variable in gives]
    layers = transaction(engine, lambda c: layers_of(c, pairs))
    days = {
        variable: _days_of(offer, layers[source, variable], request) for source, variable in pairs
    }
    return Held(tuple(recorded), days=days)


def _days_of(
    offer: ClimateOffer, layers: Iterable[LayerRecord], request: Request
) -> frozenset[date]:
    """Return the days on which a layer covers the region of a request."""
    covering: dict[str, bool] = {}
    days = set()
    for layer in layers:
        if layer.period is None:
            continue
        if layer.grid not in covering:
            covering[layer.grid] = _covers(layer.grid, request.bbox, offer.step or _WHOLE_TURN)
        if covering[layer.grid]:
            days.add(layer.period.day)
    return frozenset(days)


def _covers(name: str, bbox: BBox | None, tolerance: float) -> bool:
    if bbox is None:
        return True
    west, south, east, north = grid(name).bbox()
    return (
        west <= bbox[0] + tolerance
        and south <= bbox[1] + tolerance
        and east >= bbox[2] - tolerance
        and north >= bbox[3] - tolerance
    )
