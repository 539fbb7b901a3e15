"""A STAC validator that fetches nothing: every schema comes with pystac or with the tests."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource

_EXTENSIONS = Path(__file__).parents[1] / "schemas"
_STAC = "https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{name}.json"


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    found = {}
    packaged = files("pystac.validation.jsonschemas")
    for path in (packaged / "stac-spec" / "v1.1.0").iterdir():
        name = path.name.removesuffix(".json")
        kind = name if name in {"catalog", "collection"} else "item"
        found[_STAC.format(kind=kind, name=name)] = json.loads(path.read_text())
    for path in (packaged / "geojson").iterdir():
        found[f"https://geojson.org/schema/{path.name}"] = json.loads(path.read_text())
    for path in _EXTENSIONS.glob("*.json"):
        schema = json.loads(path.read_text())
        found[schema["$id"].removesuffix("#")] = schema
    return found


def _refuse(uri: str) -> Resource[Any]:
    raise NoSuchResource(ref=uri)


def problems(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with an item or collection, by STAC's schema and each extension's."""
    registry = Registry(retrieve=_refuse).with_resources(
        (uri, Resource.from_contents(schema)) for uri, schema in _schemas().items()
    )
    kind = {"Feature": "item", "Collection": "collection"}[document["type"]]
    found = []
    for uri in (_STAC.format(kind=kind, name=kind), *document["stac_extensions"]):
        # An extension without a schema here is an error, not something to skip.
        validator = jsonschema.Draft7Validator(
            _schemas()[uri],
            registry=registry,
            format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
        )
        found += [f"{uri}: {e.json_path}: {e.message}" for e in validator.iter_errors(document)]
    return found


def schema_map(folder: Path) -> dict[str, str]:
    """Write every schema into a folder and return address → path, as stac-validator takes it."""
    mapped = {}
    for number, (uri, schema) in enumerate(sorted(_schemas().items())):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(schema))
        mapped[uri] = str(path)
    return mapped
