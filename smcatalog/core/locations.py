"""Where a store may lie: a folder, or a bucket that speaks S3's protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from smcatalog.core.errors import ConfigurationError

__all__ = ["S3Location"]

_SCHEME: Final = "s3"
_EXAMPLE: Final = "write it like s3://bucket/prefix, or name a folder"
_BUCKET: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Part of a prefix that means the same to S3, in an address and to GDAL; none of them hidden."""


@dataclass(frozen=True, slots=True)
class S3Location:
    """A part of a bucket.

    Parameters
    ----------
    bucket : str
        Name of the bucket.
    prefix : str
        What all keys begin with, without a slash at its ends; empty for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read an address like ``s3://bucket/prefix``.

        Raises
        ------
        ConfigurationError
            When it is none. What may be a secret in it is not repeated.
        """
        try:
            parts = urlsplit(address)
        except ValueError:
            raise ConfigurationError(f"the store's address is none: {_EXAMPLE}") from None
        if parts.scheme != _SCHEME:
            raise ConfigurationError(
                f"the store is neither a folder nor on S3 but '{parts.scheme}://…': {_EXAMPLE}"
            )
        if "@" in address:
            raise ConfigurationError(
                "the store's address has a user or a key in it: take it out and set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        if parts.query or parts.fragment:
            raise ConfigurationError(f"the store's address has a '?' or '#' in it: {_EXAMPLE}")
        if _BUCKET.fullmatch(parts.netloc) is None:
            raise ConfigurationError(
                f"'{parts.netloc}' is no name of a bucket (3 to 63 small letters, digits, hyphens "
                "and dots; the server and its port belong into AWS_ENDPOINT_URL)"
            )
        prefix = parts.path.strip("/")
        for folder in prefix.split("/") if prefix else ():
            if _FOLDER.fullmatch(folder) is None:
                raise ConfigurationError(
                    f"'{folder}' cannot be part of the store's address: use letters, digits, '.', '_' "
                    "and '-', and begin with a letter or digit"
                )
        return cls(parts.netloc, prefix)

    @property
    def url(self) -> str:
        """The address, in one form only."""
        return f"{_SCHEME}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
