"""What stands beside or below the tree: one panel, and the line that names them all."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen

from vfdeck.app.dashboard.panels import PANELS, Panel, Scene
from vfdeck.app.keymap import Keymap
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.tabs import Tab, TabLine


class Side:
    """Keeps which panel is chosen; `scene` gives what it is made from, `look_up` fetches more. Only the chosen one is ever made."""

    def __init__(
        self,
        screen: Screen[None],
        keys: Keymap,
        tabs: TabLine,
        view: PanelView,
        scene: Callable[[], Scene],
        look_up: Callable[[Panel], None],
    ) -> None:
        self._screen = screen
        self._keys = keys
        self._tabs = tabs
        self._view = view
        self._scene = scene
        self._look_up = look_up
        self.chosen: Panel = PANELS[0]

    def show(self) -> None:
        """Show the chosen panel as things are now."""
        scene, panel = self._scene(), self.chosen
        self._tabs.show([Tab(p.id, self._keys.shown(p.action), p.action.label, p.short) for p in PANELS], panel.id)
        about = (panel.id,) if panel.end else (panel.id, scene.row_id)  # the one is about no row
        self._view.show_panel(about, panel.sections(scene), split=panel.split, end=panel.end)
        self._look_up(panel)

    def choose(self, id: str) -> None:
        """Show another panel; where none has room beside or below the tree, over the whole screen."""
        self.chosen = next(panel for panel in PANELS if panel.id == id)
        if not self._view.is_on_screen:
            self.fill(True)
        self.show()

    def step(self, by: int) -> None:
        """Show the panel that is `by` further; after the last comes the first."""
        self.choose(PANELS[(PANELS.index(self.chosen) + by) % len(PANELS)].id)

    @property
    def is_full(self) -> bool:
        """Whether the panel fills the screen."""
        return self._screen.has_class("-details")

    def fill(self, full: bool) -> None:
        """Let the panel fill the screen, with the keys that scroll it; or give the tree its room back."""
        self._screen.set_class(full, "-details")
        if full:
            self._view.focus()
