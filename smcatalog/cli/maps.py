"""``smcatalog maps``: the catalogue of maps, as it is or as it stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import print_json, print_table, say
from smcatalog.core.time import parse_day, parse_instant

if TYPE_CHECKING:
    from smcatalog.core.grids import BBox
    from smcatalog.database.history import MapListing

__all__ = ["app"]

app = typer.Typer(help="Maps that are in force, or were at an instant.")

First = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")]
Last = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        help="The catalogue as it stood then: RFC 3339 with zone, or a day, which means its end in UTC."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command("list")
def list_maps(
    context: typer.Context,
    product: str,
    first: First = None,
    last: Last = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List a product's maps, by day."""
    _answer(context, [product], None, (first, last, as_of), json=json)


@app.command()
def search(
    context: typer.Context,
    product: Annotated[
        list[str] | None, typer.Option(help="Only this product; may be given several times.")
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="W,S,E,N in degrees: only maps that share a place with it.")
    ] = None,
    first: First = None,
    last: Last = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Find maps of any product, by place and day."""
    from ingest.acquisition.values import parse_region

    where = parse_region(bbox) if bbox else None
    _answer(context, product, where, (first, last, as_of), json=json)


def _answer(
    context: typer.Context,
    products: Sequence[str] | None,
    bbox: BBox | None,
    when: tuple[str | None, str | None, str | None],
    *,
    json: bool,
) -> None:
    from smcatalog.services.history import find_maps

    first, last = (parse_day(day) if day else None for day in when[:2])
    as_of = parse_instant(when[2]) if when[2] else None
    found = find_maps(
        open_workspace(context).engine,
        products=products,
        bbox=bbox,
        first=first,
        last=last,
        as_of=as_of,
    )
    if json:
        print_json({"as_of": as_of, "maps": found})
        return
    _print(found)
    say(f"{len(found)} maps" + (f" as of {as_of.isoformat()}" if as_of else ""))


def _print(found: Sequence[MapListing]) -> None:
    if found:
        print_table(
            ("product", "day", "item", "version", "status", "published", "sha256", "key"),
            [
                (m.product, m.day, m.item_id, f"{m.version}.{m.revision}", m.status,
                 f"{m.published_at:%Y-%m-%dT%H:%M:%SZ}", m.sha256[:16], m.key)
                for m in found
            ],
        )  # fmt: skip
