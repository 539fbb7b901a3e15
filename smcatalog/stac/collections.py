"""Collections: a product as STAC sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from smcatalog.core.encoding import Quality
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import BBox, Grid
from smcatalog.core.maps import MapStatus
from smcatalog.core.stations import Depth
from smcatalog.core.time import utc_midnight
from smcatalog.stac.assets import (
    CLASSIFICATION,
    PROJECTION,
    RASTER,
    SCIENTIFIC,
    asset_fields,
    projection_fields,
)

if TYPE_CHECKING:
    import pystac

__all__ = ["CollectionInfo", "Provider", "build_collection"]


@dataclass(frozen=True, slots=True)
class Provider:
    """Who made, processed or hands out the data.

    Parameters
    ----------
    name : str
        Organisation or person.
    roles : tuple of str
        Of ``licensor``, ``producer``, ``processor``, ``host``.
    url : str, optional
        Home page.
    """

    name: str
    roles: tuple[str, ...]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What the catalogue says of a product.

    Parameters
    ----------
    product : str
        Name, which is the collection's identifier.
    title, description : str
        For people; the description may be CommonMark.
    bbox : (west, south, east, north)
        Region, in degrees.
    first : date
        First day.
    last : date or None
        Last day, or None for a product that goes on.
    grid : Grid
        Output grid.
    depths : tuple of Depth
        One a band.
    keywords : tuple of str
        For searches.
    license : str
        SPDX identifier, or ``other``.
    license_url : str, optional
        The licence's text; needed when the licence is ``other``.
    providers : tuple of Provider
        Those responsible.
    citation : str, optional
        How to cite the product.

    Raises
    ------
    UsageError
        When it ends before it begins, has no depth, or a licence of its own without its text.
    """

    product: str
    title: str
    description: str
    bbox: BBox
    first: date
    last: date | None
    grid: Grid
    depths: tuple[Depth, ...]
    keywords: tuple[str, ...] = ()
    license: str = "CC-BY-4.0"
    license_url: str | None = None
    providers: tuple[Provider, ...] = ()
    citation: str | None = None

    def __post_init__(self) -> None:
        if self.last is not None and self.last < self.first:
            raise UsageError(f"product {self.product} ends on {self.last}, before {self.first}")
        if not self.depths:
            raise UsageError(f"product {self.product} states no depth: give at least one")
        if self.license == "other" and self.license_url is None:
            raise UsageError(
                f"product {self.product} has a licence of its own: say where it stands"
            )


def _extent(info: CollectionInfo) -> pystac.Extent:
    import pystac  # noqa: PLC0415 - slow to import

    end = None
    if info.last is not None:
        end = utc_midnight(info.last) + timedelta(days=1, seconds=-1)
    return pystac.Extent(
        pystac.SpatialExtent([[float(value) for value in info.bbox]]),
        pystac.TemporalExtent([[utc_midnight(info.first), end]]),
    )


def _summaries(info: CollectionInfo) -> dict[str, Any]:
    return {
        "proj:code": [projection_fields(info.grid)["proj:code"]],
        "smcatalog:product": [info.product],
        "smcatalog:grid": [info.grid.name],
        "smcatalog:status": [str(status) for status in MapStatus],
        "smcatalog:depths": [[float(depth.top), float(depth.bottom)] for depth in info.depths],
        "smcatalog:quality_flags": [flag.name.lower() for flag in Quality if flag.name],
    }


def build_collection(info: CollectionInfo) -> pystac.Collection:
    """Build the STAC 1.1 collection of a product: the same information gives the same JSON.

    ``item_assets`` says what every item's assets have in common; the items themselves add address,
    checksum and size. The extent is what the product declares, not what has been made so far.
    """
    import pystac  # noqa: PLC0415

    collection = pystac.Collection(
        id=info.product,
        title=info.title,
        description=info.description,
        extent=_extent(info),
        license=info.license,
        keywords=list(info.keywords) or None,
        providers=[
            pystac.Provider(p.name, None, [pystac.ProviderRole(r) for r in p.roles], p.url)
            for p in info.providers
        ]
        or None,
        summaries=pystac.Summaries(_summaries(info)),
        stac_extensions=[PROJECTION, RASTER, CLASSIFICATION],
        extra_fields={"item_assets": asset_fields(info.grid, info.depths)},
    )
    if info.citation is not None:
        collection.stac_extensions.append(SCIENTIFIC)
        collection.extra_fields["sci:citation"] = info.citation
    if info.license_url is not None:
        collection.add_link(pystac.Link("license", info.license_url, title="Licence"))
    return collection
