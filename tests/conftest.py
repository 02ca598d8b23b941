"""What all tests share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

import pytest

from vfdeck.backend import journal

# No test, and no program that one starts, writes to the state directory of the person who runs it.
_state = tempfile.TemporaryDirectory(prefix="vfdeck-state-")
os.environ["XDG_STATE_HOME"] = _state.name
os.environ["XDG_CONFIG_HOME"] = f"{_state.name}/config"  # nor reads that person's settings

# A busy machine is no dead file system: who tests that nobody waits for one says so.
journal.LOOK_PATIENCE = journal.NOTE_PATIENCE = 60.0

if os.environ.get("VFDECK_GUEST") != "1":  # guests run without Hypothesis: importing it takes seconds under emulation
    from hypothesis import settings

    # A failure prints how to repeat it; in CI every run does the same.
    settings.register_profile("vfdeck", print_blob=True, deadline=None, database=None, derandomize="CI" in os.environ)
    settings.load_profile("vfdeck")


@pytest.fixture(autouse=True)
def _nothing_drawn_is_kept() -> Iterator[None]:
    """A cache of Textual's keeps what the last thousand widgets drew: gigabytes after the tests of hostile text."""
    yield
    if "textual._styles_cache" in sys.modules:
        sys.modules["textual._styles_cache"].StylesCache.get_inner_outer.cache_clear()
