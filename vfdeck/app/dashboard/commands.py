"""The actions that are about no function: where to look, what to show, how to leave. The registry names them by `command`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.desk import Desk
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.dialogs.export import ExportDialog
from vfdeck.app.dashboard.dialogs.leave import LeaveDialog
from vfdeck.app.dashboard.dialogs.theme import ThemeDialog
from vfdeck.app.dashboard.exporting import Offer
from vfdeck.app.dashboard.finding import Finder
from vfdeck.app.dashboard.pages import help_sections, life_sections, problem_sections
from vfdeck.app.dashboard.practising import Practising
from vfdeck.app.dashboard.results import Results
from vfdeck.app.dashboard.side import Side
from vfdeck.app.dashboard.state import Fleet
from vfdeck.app.dashboard.taking_back import TakingBack
from vfdeck.app.dashboard.touring import Touring
from vfdeck.app.settings import Fault
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.shell_facts import copied
from vfdeck.widgets.state import Tone


class Commands:
    """Does them. `look` looks at every host again."""

    def __init__(
        self,
        desk: Desk,
        finder: Finder,
        results: Results,
        practising: Practising,
        taking_back: TakingBack,
        touring: Touring,
        side: Side,
        look: Callable[[], None],
        fleet: Callable[[], Fleet],
        faults: Sequence[Fault] = (),
        offers: Callable[[], Sequence[Offer]] = lambda: (),
    ) -> None:
        self._keys = desk.keys
        self._faults = faults
        self._offers = offers
        self._hosts = tuple(desk.hosts.values())
        self._screen, self._tree, self._line = desk.screen, desk.tree, desk.line
        self._finder = finder
        self._results = results
        self._practising = practising
        self._taking_back = taking_back
        self._touring = touring
        self._side = side
        self._look = look
        self._fleet = fleet

    # -- what is looked at --------------------------------------------------------------------------------------------
    def refresh_now(self) -> None:
        """Look at every host again."""
        self._look()

    def details(self) -> None:
        """The panel over the whole screen, or the tree again."""
        self._side.fill(not self._side.is_full)
        if not self._side.is_full:
            self._tree.focus()

    def next_panel(self) -> None:
        """The next panel."""
        self._side.step(1)

    def previous_panel(self) -> None:
        """The panel before."""
        self._side.step(-1)

    def back(self) -> None:
        """From the details, or from the panel, to the tree; there, end the search, then the filter, then the marks."""
        if self._tree.has_focus:
            self._finder.back()
        self._side.fill(False)
        self._tree.focus()

    def fold_all(self) -> None:
        """One step less to see."""
        self._tree.fold_all(True)

    def unfold_all(self) -> None:
        """One step more to see."""
        self._tree.fold_all(False)

    # -- finding ------------------------------------------------------------------------------------------------------
    def search(self) -> None:
        """Type what to go to."""
        self._side.fill(False)
        self._finder.start("search")

    def filter(self) -> None:
        """Type what to show."""
        self._side.fill(False)
        self._finder.start("filter")

    def mark(self) -> None:
        """Mark the row, or take its mark away."""
        if self._tree.row_id is not None and not self._tree.row_id.bdf:
            self._line.hint("a host cannot be marked: mark its functions")
            return
        self._tree.toggle_mark()
        self._finder.show()

    def sort(self) -> None:
        """Sort by the next thing."""
        self._finder.next_order()

    def next_match(self) -> None:
        """To the next match."""
        self._finder.step(1)

    def previous_match(self) -> None:
        """To the match before."""
        self._finder.step(-1)

    def undo(self) -> None:
        """Take back what was done last."""
        self._taking_back.begin()

    # -- pages --------------------------------------------------------------------------------------------------------
    def result(self) -> None:
        """What waits, and what came of the last change."""
        self._results.show()

    def copy(self) -> None:
        """What was changed last, as shell."""
        text = self._results.shell
        self._screen.app.copy_to_clipboard(text)
        self._line.hint(copied(text))

    def export(self) -> None:
        """Ask what to write, and where."""
        self._screen.app.push_screen(ExportDialog(self._offers()), lambda said: self._line.hint(said) if said else None)

    def problems(self) -> None:
        """What could not be read."""
        fleet = self._fleet()
        sections = problem_sections(fleet.snapshots, dict(fleet.failures))
        wrong = tuple(Fact("", str(fault), Tone.WARN) for fault in self._faults)
        if wrong:
            sections = [Section("Settings: what is wrong is as usual instead", wrong), *sections]
        self._screen.app.push_screen(Page("What could not be read", sections, label_width=2))

    def help(self) -> None:
        """Keys and letters; above them the story of a lesson, or of a fault to practise on."""
        told = [*self._touring.sections(), *self._practising.sections(), *life_sections(self._hosts)]
        sections = [*told, *help_sections(self._touring.is_on, self._keys)]
        self._screen.app.push_screen(Page("Keys and letters", sections, label_width=10))

    def theme(self) -> None:
        """Choose the colours, and see each while choosing."""
        app = self._screen.app
        app.push_screen(ThemeDialog(themes.own_name(app.theme)), self._keep_theme)

    def _keep_theme(self, name: str | None) -> None:
        """Say how to have it the next time, too."""
        if name is not None:
            self._line.hint(f'theme {name} from now on; theme = "{name}" in the settings (vfdeck settings) keeps it', Tone.DIM)

    def palette(self) -> None:
        """Find an action by name."""
        self._screen.app.action_command_palette()

    # -- the tour -----------------------------------------------------------------------------------------------------
    def tour_next(self) -> None:
        """To the next lesson."""
        self._touring.next()

    def tour_back(self) -> None:
        """To the beginning of the lesson, or to the one before."""
        self._touring.back()

    def tour_act(self) -> None:
        """Do what the lesson needs somebody else to do."""
        self._touring.act()
        self._look()

    def tour_leave(self) -> None:
        """No tour any more."""
        self._touring.leave()

    # -- leaving ------------------------------------------------------------------------------------------------------
    def quit(self) -> None:
        """Leave at once; while a change is under way, or a token would be lost, ask once."""
        app, at_stake = self._screen.app, self._results.at_stake()
        if at_stake:
            app.push_screen(LeaveDialog(at_stake, self._results.stake), lambda leave: app.exit() if leave else None)
        else:
            app.exit()
