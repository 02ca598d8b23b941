"""Pictures are kept in `screenshots/`, under names that people can read: golden files and the README's pictures are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_textual_snapshot  # type: ignore[import-untyped]
from syrupy.assertion import SnapshotAssertion
from syrupy.location import PyTestLocation

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"


class PictureExtension(pytest_textual_snapshot.SVGImageExtension):  # type: ignore[misc]
    """`test_picture[demo-80x24]` is `screenshots/demo-80x24.svg`."""

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        """What stands in the brackets of the test's name."""
        name = test_location.snapshot_name
        return name.partition("[")[2].rstrip("]") or name

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """The folder of all pictures."""
        return str(SCREENSHOTS)


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> SnapshotAssertion:
    """Let the plugin keep its pictures our way, and let no setting of the terminal change them."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(pytest_textual_snapshot, "SVGImageExtension", PictureExtension)
    return snapshot
