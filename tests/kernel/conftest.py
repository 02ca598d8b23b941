"""The tests in this folder need a real kernel with the test bed's hardware: they run in its guests only (see launch.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips this folder's tests everywhere but in a guest."""
    if os.environ.get("VFDECK_GUEST") == "1":
        return
    skip = pytest.mark.skip(reason="runs in the kernel test bed only: make test-kernel")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(skip)
