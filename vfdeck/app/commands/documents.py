"""The catalogue as documents: a manual page (man 7) and Markdown, from the same data as everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vfdeck import __version__
from vfdeck.app.commands.ways import ways
from vfdeck.backend.catalogue import CHAPTERS, PLACEHOLDERS, Entry, fill

_ABOUT = (
    "What the kernel answers when SR-IOV, vfio or a VF token stands in the way: for each answer the rule behind it, how to check "
    "it, and what to do, the least invasive first. Words in angle brackets stand for what vfdeck fills in on a host."
)


def sections(entry: Entry) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The sections of an entry that have something in them, filled as in a manual."""
    where = " at ".join(part for part in ("/".join(entry.errnos), ", ".join(entry.stages)) if part)
    parts: list[tuple[str, tuple[str, ...]]] = [
        ("Answer", (where,)),
        ("Rule", (entry.rule,)),
        ("Why", (entry.why,)),
        ("Check", entry.check),
        ("Do", entry.do),
        ("With vfdeck", ways(entry.actions, {})),
        ("Mistaken for", (entry.mistaken_for,)),
        ("Log line", entry.logs),
        ("Kernels", (entry.kernels,)),
        ("Sources", ("; ".join(entry.sources),)),
    ]
    for name, texts in parts:
        found = tuple(fill(text, {}) for text in texts if text)
        if found:
            yield name, found


def _chapters(found: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    listed = list(found)
    for letter, title in CHAPTERS.items():
        if chapter := [entry for entry in listed if entry.id.startswith(letter)]:
            yield f"{letter}. {title[0].upper()}{title[1:]}", chapter


# -- Markdown --------------------------------------------------------------------------------------------------------------
def markdown(found: Iterable[Entry]) -> str:
    """The entries as Markdown, a heading each."""
    lines = ["# Why the kernel says no", "", _ABOUT, ""]
    for title, chapter in _chapters(found):
        lines += [f"## {title}", ""]
        for entry in chapter:
            lines += [f"### {entry.id}: {_plain(fill(entry.title, {}))}", ""]
            lines += [f"* **{name}:** {_item(name, texts)}" for name, texts in sections(entry)] + [""]
    return "\n".join(lines)


def _item(name: str, texts: tuple[str, ...]) -> str:
    written = [f"`{text}`" if name == "Log line" else _plain(text) for text in texts]
    return written[0] if len(written) == 1 else "".join(f"\n    {number}. {text}" for number, text in enumerate(written, 1))


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing but text."""
    return "".join(f"\\{character}" if character in "\\`*_<>[]#|" else character for character in text)


# -- man -------------------------------------------------------------------------------------------------------------------
def man(found: Iterable[Entry]) -> str:
    """The entries as a manual page of section 7 (man macros; see man-pages(7) and groff_man(7))."""
    lines = [f'.TH VFDECK-FAILURES 7 "" "vfdeck {__version__}" "SR-IOV and VF tokens"']
    lines += [".SH NAME", r"vfdeck\-failures \- why the kernel says no to SR\-IOV, vfio and VF tokens"]
    lines += [".SH DESCRIPTION", _roff(_ABOUT)]
    for title, chapter in _chapters(found):
        lines.append(f'.SH "{_roff(title.upper())}"')
        for entry in chapter:
            lines.append(f'.SS "{entry.id}  {_quoted(fill(entry.title, {}))}"')
            for name, texts in sections(entry):
                lines += [".TP", f".B {name.lower()}", *"\n.br\n".join(map(_roff, texts)).split("\n")]
    lines += [".SH WORDS", *(line for name, text in PLACEHOLDERS.items() for line in (".TP", f".I <{name}>", _roff(text)))]
    lines += [".SH SEE ALSO", r".BR vfdeck (1)"]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Text that roff takes for nothing but text."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _quoted(text: str) -> str:
    return _roff(text).replace('"', '""')
