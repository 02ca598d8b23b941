"""The dashboard: `run(hosts)` shows hosts until the operator quits. Nothing here loads Textual before that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vfdeck.backend.host import Host

if TYPE_CHECKING:
    from vfdeck.app.dashboard.app import DashboardApp
    from vfdeck.app.dashboard.lesson import Lesson

__all__ = ["DashboardApp", "run"]


def run(hosts: Sequence[Host], lesson: Lesson | None = None) -> int:
    """Run the dashboard on hosts, with a story to begin with if there is one; the answer is the exit status."""
    from vfdeck.app.dashboard.app import run as run_app

    return run_app(hosts, lesson)


def __getattr__(name: str) -> Any:
    if name == "DashboardApp":
        from vfdeck.app.dashboard.app import DashboardApp

        return DashboardApp
    raise AttributeError(name)
