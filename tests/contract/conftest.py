"""One bed for every test in this folder: each named release simulated, or in a guest the real kernel and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.contract.bed import Bed, RealBed, SimulatedBed
from vfdeck.backend.profile import named_profiles

IN_GUEST = os.environ.get("VFDECK_GUEST") == "1"


@pytest.fixture(scope="session")
def real() -> Iterator[RealBed | None]:
    """The guest's hardware, left as it was found."""
    if not IN_GUEST:
        yield None
        return
    bed = RealBed()
    yield bed
    bed.reset()


#: Kernels of the guests that carry backports; the newest named release is the other guest's.
BACKPORTS = ["6.1.192", "6.12.117"]


@pytest.fixture(params=["real"] if IN_GUEST else [*named_profiles(), *BACKPORTS])
def bed(request: pytest.FixtureRequest, real: RealBed | None) -> Bed:
    """The hardware in its initial state."""
    if real is None:
        return SimulatedBed(request.param)
    real.reset()
    return real


@pytest.fixture
def tokens(bed: Bed) -> Bed:
    """The same, for tests that mean nothing where there are no VF tokens."""
    if not bed.has("vf_token"):
        pytest.skip("this kernel has no VF tokens")
    return bed


@pytest.fixture
def cdevs(bed: Bed) -> Bed:
    """The same, for tests that need functions with nodes of their own."""
    if not bed.cdev:
        pytest.skip("this kernel has no nodes of its own for functions")
    return bed
