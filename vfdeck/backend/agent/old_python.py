"""What Python 3.9 and 3.10 lack and the backend uses, for a host that has no newer one. Run before anything else of the package.

Only what is a library's is filled in, by the least that the backend needs; the backend's grammar is that of 3.9 already (ruff
checks it, `per-file-target-version`). A newer Python is left as it is. This file imports nothing of the package.
"""

from __future__ import annotations

import sys


def fill_in() -> None:
    """Make `enum.StrEnum` and `dataclass(slots=)` available where they are not."""
    if sys.version_info < (3, 11):
        _str_enum()
    if sys.version_info < (3, 10):
        _dataclass()


def _str_enum() -> None:
    import enum

    class StrEnum(str, enum.Enum):
        """A string that is a member; `str` of it is its value."""

        __str__ = str.__str__
        __format__ = str.__format__  # type: ignore[assignment]

        @staticmethod
        def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
            return name.lower()

    enum.StrEnum = StrEnum  # type: ignore[misc,assignment]


def _dataclass() -> None:
    """`slots` saves memory and is left out."""
    import dataclasses

    real = dataclasses.dataclass

    def dataclass(cls=None, /, *, slots=False, **options):  # type: ignore[no-untyped-def]
        return real(cls, **options)

    dataclasses.dataclass = dataclass
