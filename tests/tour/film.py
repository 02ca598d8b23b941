"""A film as an animated SVG: pictures of a terminal, one after the other, of which every row that looks alike is kept once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from rich.cells import cell_len
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style

#: A cell in pixels, and the height of the line below the picture.
WIDE, HIGH, FOOT = 8.4, 18, 26
_DARK, _LIGHT = "#121212", "#e0e0e0"


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture: its rows by number, what stands below it, and for how long it is seen, seconds."""

    rows: tuple[int, ...]
    caption: str
    seconds: float


@dataclass
class Film:
    """Pictures of a terminal of `columns`."""

    columns: int
    frames: list[Frame] = field(default_factory=list)
    _rows: dict[str, int] = field(default_factory=dict)
    _looks: dict[str, int] = field(default_factory=dict)

    def add(self, lines: Iterable[Sequence[Segment]], caption: str, seconds: float) -> None:
        """One more picture; one like the last, with the same words below, only stays longer."""
        rows = tuple(self._rows.setdefault(self._drawn(line), len(self._rows)) for line in lines)
        if self.frames and self.frames[-1].rows == rows and self.frames[-1].caption == caption:
            seconds += self.frames.pop().seconds
        self.frames.append(Frame(rows, caption, seconds))

    # -- drawing -------------------------------------------------------------------------------------------------------
    def _drawn(self, line: Sequence[Segment]) -> str:
        """A row as SVG: backgrounds, then texts."""
        behind, before, at = [], [], 0
        for text, style, _ in Segment.simplify(line):
            cells = cell_len(text)
            ink, paper = _colours(style)
            if paper != _DARK:
                behind.append(f'<rect x="{_x(at)}" width="{_x(cells)}" height="{HIGH}" fill="{paper}"/>')
            if text.strip():
                lead = len(text) - len(text.lstrip(" "))
                shown = text.strip(" ")
                look = self._look(ink, style)
                before.append(
                    f'<text class="{look}" x="{_x(at + lead)}" y="13.5" textLength="{_x(cell_len(shown))}">{escape(shown)}</text>'
                )
            at += cells
        return "".join((*behind, *before))

    def _look(self, ink: str, style: Style | None) -> str:
        """The class of a text's looks."""
        css = f"fill:{ink}"
        if style is not None and style.bold:
            css += ";font-weight:bold"
        if style is not None and style.italic:
            css += ";font-style:italic"
        return f"t{self._looks.setdefault(css, len(self._looks))}"

    # -- the file ------------------------------------------------------------------------------------------------------
    def still(self, number: int) -> str:
        """One picture, to be looked at."""
        return self._file(self._picture(self.frames[number]), "")

    def animated(self) -> str:
        """All of them, for ever."""
        total = sum(frame.seconds for frame in self.frames)
        at, css, pictures = 0.0, [], []
        for number, frame in enumerate(self.frames):
            begin, end = at / total * 100, (at + frame.seconds) / total * 100
            css.append(
                f"@keyframes f{number}{{0%{{visibility:hidden}}{begin:.3f}%{{visibility:visible}}{end:.3f}%{{visibility:hidden}}}}"
                if number
                else f"@keyframes f0{{0%{{visibility:visible}}{end:.3f}%{{visibility:hidden}}}}"
            )
            css.append(f"#f{number}{{animation:f{number} {total:.1f}s step-end infinite}}")
            pictures.append(f'<g id="f{number}" visibility="hidden">{self._picture(frame)}</g>')
            at += frame.seconds
        return self._file("\n".join(pictures), "\n".join(css))

    def _picture(self, frame: Frame) -> str:
        rows = "".join(f'<use href="#r{row}" y="{at * HIGH}"/>' for at, row in enumerate(frame.rows))
        foot = len(frame.rows) * HIGH + 18
        return f'{rows}<text class="foot" x="8" y="{foot}">{escape(frame.caption)}</text>'

    def _file(self, body: str, css: str) -> str:
        width, height = self.columns * WIDE, max(len(frame.rows) for frame in self.frames) * HIGH + FOOT
        looks = "\n".join(f".t{number}{{{look}}}" for look, number in self._looks.items())
        rows = "\n".join(f'<g id="r{number}">{drawn}</g>' for drawn, number in self._rows.items())
        size = f'viewBox="0 0 {width:.1f} {height}" width="{width:.1f}" height="{height}"'
        return f"""<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" {size}>
<style>
text{{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:14px;white-space:pre}}
.foot{{fill:#9a9a9a}}
{looks}
{css}
</style>
<rect width="100%" height="100%" rx="6" fill="{_DARK}"/>
<defs>
{rows}
</defs>
{body}
</svg>
"""


def _x(cells: int) -> str:
    return f"{cells * WIDE:.1f}".removesuffix(".0")


def _colours(style: Style | None) -> tuple[str, str]:
    """Ink and paper."""
    if style is None:
        return _LIGHT, _DARK
    ink = style.color.get_truecolor() if style.color is not None and not style.color.is_default else None
    paper = style.bgcolor.get_truecolor(foreground=False) if style.bgcolor is not None and not style.bgcolor.is_default else None
    pair = (_hex(ink) if ink else _LIGHT, _hex(paper) if paper else _DARK)
    return (pair[1], pair[0]) if style.reverse else pair


def _hex(colour: ColorTriplet) -> str:
    return f"#{colour.red:02x}{colour.green:02x}{colour.blue:02x}"
