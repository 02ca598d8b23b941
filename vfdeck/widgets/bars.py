"""The lines around the tree: the banner above, the job line and the key bar below. Each is one line and fits any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from vfdeck.backend.model import Certainty, Job, ProblemKind, Snapshot
from vfdeck.widgets.state import Tone, duration, index_of, plural


class Line(Widget):
    """One line of text in tones."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line--key", "line--badge", *(f"line--{tone}" for tone in Tone)}
    DEFAULT_CSS = """
    Line {
        height: 1;
        & > .line--key { color: $text-accent; text-style: bold; }
        & > .line--badge { color: $background; background: $warning; text-style: bold; }
        &:ansi > .line--badge { color: ansi_black; background: ansi_yellow; }
        & > .line--plain { color: $foreground; }
        & > .line--dim { color: $foreground-darken-3; }
        & > .line--strong { color: $foreground; text-style: bold; }
        & > .line--good { color: $text-success; }
        & > .line--busy { color: $text-primary; }
        & > .line--own { color: $text-accent; }
        & > .line--warn { color: $text-warning; }
        & > .line--bad { color: $text-error; text-style: bold; }
    }
    """

    def _style(self, part: str) -> Style:
        """The style of a tone, or of `key` or `badge`."""
        return self.get_component_rich_style(f"line--{part}", partial=True)

    def _text(self, pieces: Sequence[tuple[str, str]]) -> Text:
        """Pieces (text, tone) as one line that is cut with an ellipsis."""
        line = Text(no_wrap=True, end="")
        for text, part in pieces:
            line.append(text, self._style(part))
        line.truncate(self.content_size.width, overflow="ellipsis")
        return line


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the banner says of hosts."""

    names: tuple[str, ...] = ()  # of the host and its kernel, where there is only one
    read: int = 0  # hosts that were looked at
    hosts: int = 0  # hosts there are
    pfs: int = 0
    vfs: int = 0
    used: str = ""
    problems: int = 0
    warning: str = ""  # what the kernel itself does not enforce; of several hosts, what most suffer from
    simulated: bool = False
    lives: bool = False
    read_only: bool = False  # no agent of theirs changes anything
    unreached: bool = False  # every host was tried, and none was reached


def _sums(snapshots: Sequence[Snapshot], simulated: bool, hosts: int, lives: bool) -> _Sums:
    """Sum hosts up. Of a host that looks as before nothing is counted again."""
    indexes = [index_of(snapshot) for snapshot in snapshots if not snapshot.never_seen]
    users = [index.all_users for index in indexes]
    mark = next((str(count)[0] for count in users if count.certainty is not Certainty.EXACT and not str(count)[0].isdigit()), "")
    badges = Counter(index.badge for index in indexes if index.badge).most_common(1)
    warning = "".join(f"{plural(number, 'host')}: {text}" if len(indexes) > 1 else text for text, number in badges)
    return _Sums(
        names=(snapshots[0].host.name, snapshots[0].host.kernel) if len(snapshots) == 1 else (),
        read=len(indexes),
        hosts=hosts,
        pfs=sum(index.pfs for index in indexes),
        vfs=sum(index.vfs for index in indexes),
        used=f"{mark}{sum(count.value for count in users):,}",
        problems=sum(problem.kind is not ProblemKind.CONNECTING for snapshot in snapshots for problem in snapshot.problems),
        warning=warning,
        simulated=simulated or any(index.snapshot.host.simulated for index in indexes),
        lives=lives,
        read_only=bool(indexes) and all(index.snapshot.host.read_only for index in indexes),
        unreached=0 < len(snapshots) == hosts and all(s.away is not None and s.away.kind is ProblemKind.LOST for s in snapshots),
    )


class _Room(NamedTuple):
    """What there is room for in the banner."""

    aside: bool = False  # what is as it should be
    kernel: bool = False
    counts: int = 0  # of PFs, VFs and users: 2 with words, 1 with few, 0 without
    warning: bool = True


#: From the widest terminal to the narrowest. A warning goes last: of what it warns nobody else does.
_ROOMS = (
    _Room(True, True, 2), _Room(False, True, 2), _Room(counts=2), _Room(counts=1), _Room(),
    _Room(counts=1, warning=False), _Room(warning=False),
)  # fmt: skip


class Banner(Line):
    """The line at the top: whose hardware this is, and how it stands as a whole."""

    DEFAULT_CSS = """
    Banner { background: $panel; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None, problems_key: str = "p") -> None:
        super().__init__(id=id)
        self._sums = _Sums()
        self._problems_key = problems_key

    def show(self, snapshots: Sequence[Snapshot], simulated: bool, hosts: int = 0, *, lives: bool = False) -> None:
        """Show the sums of those hosts that were read so far, of `hosts`; `simulated` puts the DEMO badge there from the start,
        which tells where one `lives`: where programs come and go by themselves."""
        sums = _sums(snapshots, simulated, max(hosts, len(snapshots)), lives)
        if sums != self._sums:
            self._sums = sums
            self.refresh()

    def render(self) -> Text:
        """What fits, by `_ROOMS`."""
        width = self.content_size.width
        for room in _ROOMS:
            left, right = self._left(room), self._right(room)
            spare = width - cell_len("".join(t for t, _ in [*left, *right]))
            if spare >= 1:
                break
        return self._text([*left, (" " * max(1, spare), Tone.PLAIN), *right])

    def _left(self, room: _Room) -> list[tuple[str, str]]:
        """Name, badges, host, kernel."""
        sums = self._sums
        pieces: list[tuple[str, str]] = [("vfdeck", Tone.STRONG)]
        if sums.simulated:
            what = " · simulated, and alive" if sums.lives else " · simulated hardware"
            pieces += [(" ", Tone.PLAIN), (f" DEMO{what if room.aside else ''} ", "badge")]
        if 0 < sums.read < sums.hosts:
            words = f"  {sums.read:,} of {sums.hosts:,}"
            pieces.append((f"{words} hosts read" if room.counts else words, Tone.OWN))
        elif sums.names:
            pieces.append((f"  {sums.names[0]}", Tone.PLAIN))
            pieces += [(f"  {sums.names[1]}", Tone.DIM)] if room.kernel else []
        elif sums.read:
            pieces.append((f"  {plural(sums.read, 'host')}", Tone.PLAIN))
        for badge in ("read-only" if sums.read_only else "", sums.warning):
            pieces += [("  ", Tone.PLAIN), (f" {badge} ", "badge")] if badge and room.warning else []
        return pieces

    def _right(self, room: _Room) -> list[tuple[str, str]]:
        """PFs, VFs, those in use, problems."""
        sums = self._sums
        if not sums.read:
            if not sums.unreached:
                return [("looking …", Tone.DIM)]
            return [(f"no host was reached ({self._problems_key}: why)" if room.counts else "not reached", Tone.BAD)]
        pfs, vfs = plural(sums.pfs, "PF"), plural(sums.vfs, "VF")
        bare = f"{sums.pfs:,}/{sums.vfs:,}/{sums.used}"
        counts = (bare, f"{pfs} {vfs} {sums.used} used", f"{pfs}  {vfs}  {sums.used} in use")[room.counts]
        pieces: list[tuple[str, str]] = [(counts, Tone.PLAIN)]
        if sums.problems:
            key = f" ({self._problems_key})" if room.counts or room.warning else ""
            problems = f"  ! {plural(sums.problems, 'problem')}" if room.counts else f" !{sums.problems}"
            pieces.append((f"{problems}{key}", Tone.BAD))
        elif room.aside:
            pieces.append(("  all readable", Tone.DIM))
        return pieces


class _Running(NamedTuple):
    """A change that is under way, by the latest look."""

    host: str  # with a space behind it; "" where there is but one
    job: Job
    now: float


class JobLine(Line):
    """The line above the keys: a hint when there is one, else what runs, else what came last.

    What is said in answer to a key is read to its end: it takes up to `_MOST` lines. What comes by itself moves nothing.
    """

    DEFAULT_CSS = """
    JobLine { padding: 0 1; background: $surface; }
    """
    _MOST = 3

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hint: tuple[str, Tone] | None = None
        self._jobs: tuple[_Running, ...] = ()
        self._begun: tuple[str, ...] = ()
        self._last: tuple[str, Tone] = ("", Tone.DIM)

    def show_jobs(self, snapshots: Sequence[Snapshot], begun: Sequence[str] = ()) -> None:
        """Show the running jobs of these snapshots; `begun` are changes that no snapshot tells of yet."""
        several = len(snapshots) > 1  # then addresses say nothing without their host
        running = ((f"{s.host.name} " if several else "", job, s.taken) for s in snapshots for job in index_of(s).running.values())
        self._jobs = tuple(_Running(*one) for one in running)
        self._begun = tuple(begun)
        self.refresh()

    def show_last(self, text: str, tone: Tone) -> None:
        """Show how the last change went."""
        self._hint, self._last = None, (text, tone)
        self._fit()

    def hint(self, text: str, tone: Tone = Tone.WARN) -> None:
        """Say something until `clear_hint`."""
        self._hint = (text, tone)
        self._fit()

    def clear_hint(self) -> None:
        """Take the hint away."""
        if self._hint is not None:
            self._hint = None
            self._fit()

    def on_resize(self) -> None:
        """Fit the new width."""
        self._fit()

    def _fit(self) -> None:
        """Take the lines that the hint needs."""
        needed = min(len(self._wrapped()), self._MOST) if self._hint is not None else 1
        if self.styles.height is None or self.styles.height.value != needed:
            self.styles.height = needed
        self.refresh()

    def _wrapped(self) -> list[Text]:
        """The hint in lines of this width."""
        text, part = self._hint or ("", Tone.PLAIN)
        return list(Text(text, self._style(part), end="").wrap(self.app.console, max(self.content_size.width, 1)))

    @property
    def text(self) -> str:
        """What the line says now."""
        return "".join(text for text, _ in self._pieces())

    def render(self) -> Text:
        """The line, or the lines."""
        if self._hint is None or self.size.height < 2:
            return self._text(self._pieces())
        lines = self._wrapped()
        shown = lines[: self.size.height]
        if len(lines) > len(shown):
            shown[-1] = self._text([(f"{shown[-1].plain.rstrip()} …", self._hint[1])])
        return Text("\n", end="").join(shown)

    def _pieces(self) -> list[tuple[str, str]]:
        """What is most urgent."""
        if self._hint is not None:
            return [self._hint]
        if self._jobs:
            return self._job()
        if self._begun:
            more = f"  (+{len(self._begun) - 1} queued)" if len(self._begun) > 1 else ""
            return [("◔ ", Tone.WARN), (self._begun[0], Tone.PLAIN), (more, Tone.DIM)]
        return [self._last]

    def _job(self) -> list[tuple[str, str]]:
        """The longest-running job, whom it waits for, and how many more there are."""
        host, job, now = min(self._jobs, key=lambda one: one.job.started)
        waits = f"waiting for {job.waits_for}" if job.waits_for else job.step
        more = len(self._jobs) - 1
        return [
            ("◔ ", Tone.WARN),
            (f"{host}{job.title}", Tone.STRONG),
            (f" · {duration(now - job.started)}", Tone.DIM),
            (f" · +{more} more" if more else "", Tone.DIM),
            (f" · {waits}" if waits else "", Tone.WARN),
        ]


class ViewLine(Line):
    """The line that says what is not as usual in the tree: filter, search, marks. Not there where everything is."""

    DEFAULT_CSS = """
    ViewLine { padding: 0 1; background: $panel; display: none; }
    ViewLine.-shown { display: block; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pieces: tuple[tuple[str, str], ...] = ()

    def show(self, pieces: Sequence[tuple[str, str]]) -> None:
        """Show these pieces (text, tone), two blanks between them."""
        if tuple(pieces) != self._pieces:
            self._pieces = tuple(pieces)
            self.set_class(bool(pieces), "-shown")
            self.refresh()

    @property
    def text(self) -> str:
        """What the line says now."""
        return "  ".join(text for text, _ in self._pieces)

    def render(self) -> Text:
        """The line."""
        return self._text([part for piece in self._pieces for part in (piece, ("  ", str(Tone.PLAIN)))])


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the key bar: what it is called on the keyboard, what it does, and whether it can now."""

    id: str
    key: str
    label: str
    enabled: bool = True
    pinned: bool = False  # stays at the right edge


class KeyBar(Line):
    """The line of keys. What is not possible now is greyed, and left out where room is scarce."""

    DEFAULT_CSS = """
    KeyBar { background: $panel; padding: 0 1; }
    """

    class Pressed(Message):
        """A key was clicked on."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys: tuple[Key, ...] = ()
        self._spans: list[tuple[int, int, str]] = []

    def show(self, keys: Sequence[Key]) -> None:
        """Show these keys."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def render(self) -> Text:
        """The keys that fit; remembers where each stands, for the mouse."""
        width = self.content_size.width
        shown = self._fitting(width)
        left = [key for key in shown if not key.pinned]
        right = [key for key in shown if key.pinned]
        spare = width - sum(_width(key) for key in shown)
        self._spans, pieces, at = [], [], 0
        for key in [*left, None, *right]:
            if key is None:
                pieces.append((" " * max(0, spare), str(Tone.PLAIN)))
                at += max(0, spare)
                continue
            self._spans.append((at, at + _width(key), key.id))
            at += _width(key)
            pieces += [(key.key, "key" if key.enabled else Tone.DIM), (f" {key.label}  ", Tone.PLAIN if key.enabled else Tone.DIM)]
        return self._text(pieces)

    def _fitting(self, width: int) -> list[Key]:
        """All keys where they fit; else the possible ones; else as many of those as fit beside the pinned ones."""
        shown = list(self._keys)
        if sum(map(_width, shown)) <= width:
            return shown
        shown = [key for key in shown if key.enabled]
        while sum(map(_width, shown)) > width and any(not key.pinned for key in shown):
            shown.remove([key for key in shown if not key.pinned][-1])
        return shown

    def on_click(self, event: events.Click) -> None:
        """Tell which key was clicked on."""
        at = event.x - self.styles.padding.left
        for start, end, key in self._spans:
            if start <= at < end:
                self.post_message(self.Pressed(key))


def _width(key: Key) -> int:
    """Cells a key takes."""
    return cell_len(key.key) + cell_len(key.label) + 3
