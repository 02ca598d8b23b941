"""The tests in this folder need a real kernel with the test bed's hardware: they run in its guests only (see launch.py)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
IN_GUEST = os.environ.get("VFDECK_GUEST") == "1"

os.environ.setdefault("VFDECK_SEED", secrets.token_hex(4))


def pytest_report_header() -> list[str]:
    """The seed of the random operations, for whoever wants to play them again."""
    return [f"random operations: VFDECK_SEED={os.environ['VFDECK_SEED']}"] if IN_GUEST else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips this folder's tests everywhere but in a guest."""
    if IN_GUEST:
        return
    skip = pytest.mark.skip(reason="runs in the kernel test bed only: make test-kernel")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(skip)
