"""The exceptions of the project: one root, few kinds, messages for people.

A message says what is wrong, where, and what to do. The kind decides the exit code of the
command line and the status of the API.
"""

__all__ = [
    "ConfigurationError",
    "DatabaseUnavailable",
    "DefinitionError",
    "Interrupted",
    "NotFoundError",
    "OvertakenError",
    "RefusedInput",
    "SmcatalogError",
    "StoreError",
    "UsageError",
]


class SmcatalogError(Exception):
    """Something that a person can do something about."""


class UsageError(SmcatalogError):
    """A command or function was called with arguments that cannot be right."""


class ConfigurationError(UsageError):
    """A setting is missing or wrong."""


class DefinitionError(UsageError):
    """A product's definition is wrong."""


class NotFoundError(SmcatalogError):
    """A product, map, grid or variable of that name does not exist."""


class RefusedInput(SmcatalogError):  # noqa: N818 - a refusal is a verdict on the input, not a fault of ours
    """An input file is truncated, empty, foreign, out of range or otherwise unfit.

    Parameters
    ----------
    reason : str
        One sentence for a person: what is wrong with the file.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupted(SmcatalogError):  # noqa: N818 - says what happened, not a fault
    """A work ended early because it was asked to; doing it again goes on from there."""


class DatabaseUnavailable(SmcatalogError):  # noqa: N818 - names the state, not a fault
    """No database answers, or its schema is not the one this version needs."""


class OvertakenError(SmcatalogError):
    """What was planned changed before it was made: plan again."""


class StoreError(SmcatalogError):
    """The store of maps and layers cannot be read or written, or an object in it is damaged."""
