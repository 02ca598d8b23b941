"""What all tests share."""

from __future__ import annotations

import os

if os.environ.get("VFDECK_GUEST") != "1":  # guests run without Hypothesis: importing it takes seconds under emulation
    from hypothesis import settings

    # A failure prints how to repeat it; in CI every run does the same.
    settings.register_profile("vfdeck", print_blob=True, deadline=None, database=None, derandomize="CI" in os.environ)
    settings.load_profile("vfdeck")
