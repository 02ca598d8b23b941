"""What is said of a host as a whole."""

from __future__ import annotations

import pytest

from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.widgets.host_facts import tried_again


@pytest.mark.parametrize(
    ("kind", "final", "said"),
    [
        (ProblemKind.LOST, False, "; tried again within a minute, by r at once"),
        (ProblemKind.LOST, True, "; only r tries again"),
        (ProblemKind.CONNECTING, False, ""),
    ],
)
def test_when_a_host_is_tried_again(kind: ProblemKind, final: bool, said: str) -> None:
    assert tried_again(Problem("hv-1", "away", kind, final), "r") == said
