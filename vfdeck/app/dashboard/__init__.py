"""The dashboard: `run(hosts)` shows hosts until the operator quits. Nothing here loads Textual before that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vfdeck.backend.host import Host

if TYPE_CHECKING:
    from vfdeck.app.dashboard.app import DashboardApp
    from vfdeck.app.dashboard.lesson import Lesson
    from vfdeck.app.dashboard.touring import Tour

__all__ = ["DashboardApp", "run"]


def run(hosts: Sequence[Host], lesson: Lesson | None = None, tour: Tour | None = None, *, theme: str = "") -> int:
    """Run the dashboard on hosts, with a story to begin with if there is one, or a tour; the answer is the exit status.

    The theme is the one that is wanted ("": the usual one), where the terminal can show it.
    """
    from vfdeck.app.dashboard.app import run as run_app

    return run_app(hosts, lesson, tour, theme=theme)


def __getattr__(name: str) -> Any:
    if name == "DashboardApp":
        from vfdeck.app.dashboard.app import DashboardApp

        return DashboardApp
    raise AttributeError(name)
