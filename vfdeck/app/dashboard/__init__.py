"""The dashboard: `run(host)` shows a host until the operator quits. Nothing here loads Textual before that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vfdeck.backend.host import Host

if TYPE_CHECKING:
    from vfdeck.app.dashboard.app import DashboardApp
    from vfdeck.app.dashboard.lesson import Lesson

__all__ = ["DashboardApp", "run"]


def run(host: Host, lesson: Lesson | None = None) -> int:
    """Run the dashboard on a host, with a story to begin with if there is one; the answer is the exit status."""
    from vfdeck.app.dashboard.app import run as run_app

    return run_app(host, lesson)


def __getattr__(name: str) -> Any:
    if name == "DashboardApp":
        from vfdeck.app.dashboard.app import DashboardApp

        return DashboardApp
    raise AttributeError(name)
