"""What a person set once and for all, in `settings.toml` below the XDG configuration folder: the schema, and how the file is read.

Nothing in the file can keep vfdeck from starting: what is wrong is told, all of it at once, and the usual value holds instead.
"""

from __future__ import annotations

import os
import stat
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vfdeck.app import argv, keymap
from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.keymap import Keymap
from vfdeck.backend.text import printable
from vfdeck.widgets.columns import hideable
from vfdeck.widgets.filtering import FilterFault, parse
from vfdeck.widgets.nearest import meant_perhaps
from vfdeck.widgets.sorting import Order

#: A longer file, in bytes, is not read.
LONGEST = 64 << 10
KEYS = "keys"
#: When the address must be typed before a change is made: see `dialogs/confirm.py`.
CONFIRM = ("severe", "loss", "always")
#: Where the panel stands.
DETAILS = ("auto", "beside", "below", "hidden")


class _Wrong(ValueError):
    """A value that cannot be; the text says what was expected, or what is wrong."""


def _one_of(*names: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            near = meant_perhaps(value, names) if isinstance(value, str) else ""
            raise _Wrong(f"expected one of {', '.join(names)}{near}")
        return value

    return check


def _seconds(least: float, most: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _Wrong(f"expected seconds from {least:g} to {most:g}")
        return float(value)

    return check


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("expected true or false")
    return value


def _filter(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong('expected a filter in quotes, such as "driver:vfio-pci held:no"')
    try:
        return parse(value).text
    except FilterFault as wrong:
        raise _Wrong(f"expected a filter: {wrong}") from None


def _columns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Wrong('expected a list of columns, such as ["numa", "link"]')
    for name in value:
        if name not in hideable():
            near = meant_perhaps(name, hideable()) if isinstance(name, str) else ""
            raise _Wrong(f"{name!a} is none of {', '.join(hideable())}{near}")
    return tuple(dict.fromkeys(value))


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, its usual value, what it is for, and what makes a value of what stands in the file."""

    name: str
    usual: Any
    about: str
    check: Callable[[object], Any]


_USUAL_KEYS = keymap.USUAL  # a field of Settings is called keymap, too
KEYMAPS = "; ".join(f"{name} ({about})" for name, about in keymap.abouts().items()) + "."
SCHEMA: tuple[Setting, ...] = (
    Setting("theme", themes.USUAL, f"Colours: {', '.join(themes.names())}.", _one_of(*themes.names())),
    Setting("interval", 2.0, "Seconds between two looks at a host, from 0.2 to 3600.", _seconds(0.2, 3600)),
    Setting(
        "sort",
        Order.ADDRESS.word,
        f"The order of rows to begin with: {', '.join(order.word for order in Order)}.",
        _one_of(*(order.word for order in Order)),
    ),
    Setting("filter", "", 'What is shown to begin with, such as "driver:vfio-pci held:no"; "" for everything.', _filter),
    Setting(
        "columns",
        (),
        "Columns after the function's, in this order; [] for all as usual. Where room is short, some give way.",
        _columns,
    ),
    Setting("hide", (), f"Columns that are not shown, of {', '.join(hideable())}.", _columns),
    Setting(
        "details",
        "auto",
        "Where the panel stands: beside the tree (from 80 columns on), below it, auto (beside from 110 columns on), or hidden "
        "until d or its number is pressed.",
        _one_of(*DETAILS),
    ),
    Setting(
        "confirm",
        "severe",
        "When the function's address must be typed before a change is made: severe (it cuts you off, or takes a mounted file "
        "system away), loss (also where something in use, or that does not come back by itself, goes away), or always. "
        "Every change is confirmed in any case, and what takes something away with its own key.",
        _one_of(*CONFIRM),
    ),
    Setting("keymap", "default", "The keys to begin with: " + KEYMAPS, _one_of(*keymap.ready())),
    Setting("flash", 2.0, "Seconds for which what changed stands out, from 0 to 60.", _seconds(0, 60)),
    Setting("mouse", True, "Whether the mouse is used; without it the terminal's own selection works.", _switch),
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SCHEMA}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. `interval` and `flash` in seconds."""

    theme: str = themes.USUAL
    interval: float = 2.0
    sort: str = Order.ADDRESS.word
    filter: str = ""
    columns: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    details: str = "auto"
    confirm: str = "severe"
    keymap: str = "default"
    flash: float = 2.0
    mouse: bool = True
    keys: Keymap = _USUAL_KEYS

    @property
    def hidden(self) -> frozenset[str]:
        """The columns that are not shown: those to hide, and where there is a list of columns, all that are not in it."""
        return frozenset(self.hide) | (frozenset(hideable()) - set(self.columns) if self.columns else frozenset())


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: where (line and column from 1, 0 for unknown), which key ("" for the file), and what was expected."""

    path: str
    line: int
    key: str
    what: str
    column: int = 0

    def __str__(self) -> str:
        place = "".join(f":{number}" for number in (self.line, self.column) if number)
        text = f"{self.path}{place}: {f'{self.key}: ' if self.key else ''}{self.what}"
        return argv.without_tokens(printable(text, 1000))


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a file: settings, everything wrong, and the line in which each setting stands (`keys.ID` for keys)."""

    settings: Settings = Settings()
    faults: tuple[Fault, ...] = ()
    path: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)
    found: bool = False


USUAL = Reading()


def default_path(environment: Mapping[str, str]) -> str:
    """`$XDG_CONFIG_HOME/vfdeck/settings.toml`, else the same below `~/.config`; "" without a home."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # the specification has relative ones ignored
        home = environment.get("HOME", "")
        folder = f"{home}/.config" if os.path.isabs(home) else ""
    return f"{folder}/vfdeck/settings.toml" if folder else ""


def read(path: str, euid: int) -> Reading:
    """Read a file for a user. One that is not there is no fault, as the usual path; root's must be root's alone to write."""
    if not path:
        return Reading()
    try:
        text = _content(path, euid)
    except FileNotFoundError:
        return Reading(path=path)
    except (OSError, ValueError) as error:
        what = (error.strerror if isinstance(error, OSError) else str(error)) or "cannot be read"
        return Reading(path=path, faults=(Fault(path, 0, "", f"not read: {what}"),), found=True)
    return understand(text, path)


def _content(path: str, euid: int) -> str:
    """Raises OSError, and ValueError for what is no text."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is no plain file")
        if euid == 0 and (found.st_uid != 0 or found.st_mode & 0o022):
            raise ValueError("others can write to it, and root does not follow others; expected a file of root's, mode 0644")
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"is longer than {LONGEST >> 10} KiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8 text (byte {error.start + 1})") from None


# -- what stands in it ---------------------------------------------------------------------------------------------------
def understand(text: str, path: str) -> Reading:
    """The settings that a text makes, and everything wrong in it."""
    faults: list[Fault] = []
    text, data = _parsed(text, path, faults)
    lines = _places(text)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name == KEYS:
            continue
        setting = BY_NAME.get(name)
        try:
            if setting is None:
                raise _Wrong(f"no such setting{meant_perhaps(name, [*BY_NAME, KEYS])}; vfdeck settings --example shows all")
            values[name] = setting.check(value)
        except _Wrong as wrong:
            told = f"{value!a}: " if setting is not None and isinstance(value, str | int | float) else ""
            faults.append(Fault(path, lines.get(name, 0), name, f"{told}{wrong}"))
    begun = keymap.ready()[values.get("keymap", "default")]
    chosen = _keys(data[KEYS], path, lines, faults, begun) if KEYS in data else {}
    values[KEYS] = begun.with_keys(chosen)
    own = {*values, *(f"{KEYS}.{action}" for action in chosen)}
    kept = {name: line for name, line in lines.items() if name in own}
    faults.sort(key=lambda fault: (fault.line, fault.column))
    return Reading(Settings(**values), tuple(faults), path, kept, True)


def _parsed(text: str, path: str, faults: list[Fault]) -> tuple[str, dict[str, Any]]:
    """What is TOML; each line that is not is told, and left out with what a broken header would have headed."""
    lines = text.splitlines()
    for _ in range(len(lines) + 1):
        try:
            return "\n".join(lines), tomllib.loads("\n".join(lines) + "\n")
        except tomllib.TOMLDecodeError as error:
            said, _, where = str(error).rpartition(" (at ")
            line, column = _place(where)
            unclosed = " (is a quote not closed?)" if said == "Illegal character '\\n'" else ""
            faults.append(Fault(path, line, "", f"not TOML: {said or where}{unclosed}", column))
            if not line:  # at the end: something is never closed, and nobody knows where that began
                break
            headed = lines[line - 1].lstrip().startswith("[")
            lines[line - 1] = ""
            for at in range(line, len(lines) if headed else line):
                if lines[at].lstrip().startswith("["):
                    break
                lines[at] = ""
    return "", {}


def _place(where: str) -> tuple[int, int]:
    """Line and column in `line 3, column 7)`; 0, 0 for the end of the document."""
    words = where.rstrip(")").replace(",", "").split()
    if len(words) == 4 and words[0] == "line" and words[1].isdigit() and words[3].isdigit():
        return int(words[1]), int(words[3])
    return 0, 0


def _places(text: str) -> dict[str, int]:
    """The line in which each key stands. Every statement of TOML can be read alone: so it is known where each one begins."""
    places: dict[str, int] = {}
    table: tuple[str, ...] = ()
    statement: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        statement.append(line)
        try:
            alone = tomllib.loads("\n".join(statement) + "\n")
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        begun, header = number - len(statement) + 1, statement[0].lstrip().startswith("[")
        statement = []
        path = _path(alone)
        if header:
            table = path
        for length in range(1, len(path) + 1) if path else ():
            whole = path[:length] if header else (*table, *path[:length])
            places.setdefault(".".join(whole), begun)
    return places


def _path(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys on the way down, as long as there is one; an inline table's are its own."""
    path: list[str] = []
    while isinstance(data, dict) and len(data) == 1:
        ((name, data),) = data.items()
        path.append(name)
    return tuple(path)


def _keys(value: object, path: str, lines: Mapping[str, int], faults: list[Fault], begun: Keymap) -> dict[str, tuple[str, ...]]:
    """Other keys than those of the keymap to begin with. An action with a fault keeps those."""
    if not isinstance(value, dict):
        faults.append(Fault(path, lines.get(KEYS, 0), KEYS, 'expected a table [keys] with lines such as token = ["t"]'))
        return {}
    chosen: dict[str, tuple[str, ...]] = {}
    for action, keys in value.items():
        texts = [keys] if isinstance(keys, str) else keys
        what = ""
        if action not in BY_ID:
            what = f"no such action{meant_perhaps(action, BY_ID)}; vfdeck settings --example lists them"
        elif not isinstance(texts, list) or not texts or not all(isinstance(key, str) for key in texts):
            what = 'expected a key, or a list of them such as ["t", "ctrl+t"]'
        else:
            what = "; ".join(filter(None, map(begun.fault, texts)))
        if what:
            faults.append(Fault(path, lines.get(f"keys.{action}", 0), f"keys.{action}", what))
        else:
            chosen[action] = tuple(dict.fromkeys(map(keymap.canonical, texts)))
    wrong = begun.clashes(chosen)
    faults += [Fault(path, lines.get(f"keys.{action}", 0), f"keys.{action}", what) for action, what in wrong.items()]
    return {action: keys for action, keys in chosen.items() if action not in wrong}


# -- what is printed -----------------------------------------------------------------------------------------------------
def written(value: object) -> str:
    """A value as TOML. Texts here hold nothing that has to be escaped but quotes and backslashes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, float):
        return f"{value:g}" if value != int(value) else f"{value:.1f}"
    assert isinstance(value, tuple)
    return f"[{', '.join(map(written, value))}]"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 118, break_on_hyphens=False))


def example() -> str:
    """A whole file with the usual values, each line of them a comment to begin with."""
    parts = ["# Settings of vfdeck. Take the # from a line to make it count; `vfdeck settings --check` tells what is wrong.\n"]
    parts += [f"{_comment(setting.about)}#{setting.name} = {written(setting.usual)}\n" for setting in SCHEMA]
    parts.append(
        "# Keys of the dashboard, as on the keyboard (t, T, ?, f5, ctrl+t). Keys that move in the tree or answer\n"
        "# questions can not be given away.\n[keys]"
    )
    for action in ACTIONS:
        keys = tuple(keymap.on_the_keyboard(key) for key in action.keys.split(","))
        parts.append(f"# {action.title}\n#{action.id} = {written(keys)}")
    return "\n".join(parts) + "\n"
