"""Text in sections: titles with labelled values or paragraphs, as values first and as something to draw second.

Everything here may be foreign text; it reaches the screen as `rich.text.Text` only, never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from vfdeck.widgets.state import Tone

#: Gives the style of a tone, or of `label` and `title`.
StyleOf = Callable[[str], Style]


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled value; with label "" a paragraph."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Section:
    """Facts under a title ("" for none)."""

    title: str
    facts: tuple[Fact, ...]


def draw(sections: Iterable[Section], style_of: StyleOf, label_width: int = 9, columns: int = 1) -> RenderableType:
    """Sections below each other; labels stand in a column of their own.

    With two `columns` the first section runs over both, its title and first line in one; the second and all that have titles stand
    left, the others right.
    """
    all_sections = list(sections)
    if columns == 1 or len(all_sections) < 3:
        return _stack(all_sections, style_of, label_width)
    first, second, *others = all_sections
    left = [second, *(section for section in others if section.title)]
    right = [section for section in others if not section.title]
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(_stack(left, style_of, label_width), _stack(right, style_of, label_width, gaps=False))
    return Group(*_headline(first, style_of), grid)


def _headline(section: Section, style_of: StyleOf) -> list[RenderableType]:
    """A section with its title and first fact in one line."""
    line = Text(section.title, style_of("title"), no_wrap=True, overflow="ellipsis")
    if section.facts:
        line.append(f"  {section.facts[0].value}", style_of(section.facts[0].tone))
    return [line, *(Text(fact.value, style_of(fact.tone)) for fact in section.facts[1:])]


def _stack(sections: list[Section], style_of: StyleOf, label_width: int, gaps: bool = True) -> RenderableType:
    """Sections below each other, with an empty line between them where there is room for `gaps`."""
    parts: list[RenderableType] = []
    for section in sections:
        if parts and gaps:
            parts.append(Text())
        if section.title:
            parts.append(Text(section.title, style_of("title")))
        parts.extend(_facts(section.facts, style_of, label_width))
    return Group(*parts)


def _facts(facts: tuple[Fact, ...], style_of: StyleOf, label_width: int) -> list[RenderableType]:
    """The facts of a section: paragraphs as they are, runs of labelled ones as a grid."""
    parts: list[RenderableType] = []
    grid: Table | None = None
    for fact in facts:
        value = Text(fact.value, style_of(fact.tone), overflow="fold")
        if not fact.label:
            grid = None
            parts.append(Padding(value, (0, 0, 0, 0)))
            continue
        if grid is None:
            grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
            grid.add_column(width=label_width, no_wrap=True)
            grid.add_column(ratio=1, overflow="fold")
            parts.append(grid)
        grid.add_row(Text(fact.label, style_of("label")), value)
    return parts


def plain_text(sections: Iterable[Section]) -> str:
    """The same as text, for tests and for pages without colour."""
    lines: list[str] = []
    for section in sections:
        lines += [section.title] if section.title else []
        lines += [f"{fact.label}: {fact.value}" if fact.label else fact.value for fact in section.facts]
    return "\n".join(lines)
