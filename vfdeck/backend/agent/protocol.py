"""What agent and client agree on: names, errors, and how much either may want of the other."""

from __future__ import annotations

from typing import Any

INTERFACE = "io.vfdeck.Agent"
SERVICE = "org.varlink.service"
#: The protocols that are spoken, from this one to that one.
LOWEST, HIGHEST = 1, 1

#: How long a call may take, seconds; what takes longer goes on, and nobody learns what came of it. Changes are operations.
DEADLINES = {
    "Hello": 30.0,
    "Snapshot": 30.0,
    "Plan": 30.0,
    "Check": 60.0,
    "Details": 60.0,
    "Log": 10.0,
    "History": 10.0,
    "CannotRemember": 10.0,
    "Perform": 30.0,  # begins it only
}
#: So many calls that took longer may hang; then no more are begun that could.
HANGING = 4
#: So many changes may be under way at once.
RUNNING = 64
#: The longest that a client may have the agent wait for events, seconds.
LONGEST_WAIT = 60.0


class Refused(Exception):
    """An error reply: its name, of our interface where it has no dot, and what it tells. Never a token."""

    def __init__(self, name: str, **told: Any) -> None:
        super().__init__(name)
        self.name = name if "." in name else f"{INTERFACE}.{name}"
        self.told = told


def invalid(place: str, why: str) -> Refused:
    """A parameter is not what it should be (org.varlink.service has room for its name only; why is ours)."""
    return Refused(f"{SERVICE}.InvalidParameter", parameter=place, why=why)
