"""Fixtures of the tests of the real kernel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linux.fabricated import Proc


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    """A root directory with a /proc and the classes of vfio."""
    return Proc(tmp_path)
