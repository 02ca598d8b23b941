"""Which keys do what: the registry's own, those of a ready-made keymap (`keymaps.toml`), and those that the settings give.

No Textual in here; its names of keys are worked out.

A key is written as it stands on the keyboard (`t`, `T`, `?`, `f5`, `ctrl+t`) or as Textual calls it (`question_mark`).
"""

from __future__ import annotations

import functools
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from vfdeck.app.dashboard.actions import ACTIONS, BY_ID, Action

#: What unicodedata calls otherwise than Textual.
_FRIENDLY = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_MOVES = ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "enter", "space")
_NAMED = frozenset({*_MOVES, "insert", "delete", "backspace", "tab", "escape", *(f"f{number}" for number in range(1, 25))})
_CHARACTERS = {
    _FRIENDLY.get(name, name): char
    for char in map(chr, range(0x21, 0x7F))
    if not char.isalnum()
    for name in [unicodedata.name(char).lower().replace("-", "_").replace(" ", "_")]
}
_NAMES = {char: name for name, char in _CHARACTERS.items()}

#: Keys that move in the tree, by the ids of its bindings (`widgets/fleet_tree.py`; a test compares).
OF_THE_TREE = {
    "up": "up,k",
    "down": "down,j",
    "page_up": "pageup",
    "page_down": "pagedown",
    "first": "home,g",
    "last": "end,G",
    "left": "left,h",
    "right": "right,l",
    "select": "enter",
    "toggle": "space",
    "next_pf": "J",
    "previous_pf": "K",
    "next_host": "right_curly_bracket",
    "previous_host": "left_curly_bracket",
}
#: Keys that scroll what is read (`widgets/section_view.py`), and that leave a dialog, by the ids of their bindings.
_OF_PAGES = {"up": "k", "down": "j", "page_up": "pageup", "page_down": "space", "first": "home", "last": "end"}
_BINDINGS = {"move": OF_THE_TREE, "scroll": _OF_PAGES, "leave": {"leave": "escape"}}
_MOVING = frozenset(key for keys in OF_THE_TREE.values() for key in keys.split(","))
#: Keys that answer a dialog, leave one, or copy. With an action on one of them, pressing it twice would confirm what it asks.
OF_DIALOGS = frozenset({"escape", "enter", "space", "tab", "shift+tab", "y", "Y", "ctrl+c", "ctrl+q"})


def canonical(key: str) -> str:
    """A key as Textual calls it; "" where there is no such key."""
    if len(key) == 1:
        if key.isascii():
            return key if key.isalnum() else _NAMES.get(key, "")
        return ""
    *modifiers, last = key.lower().split("+")
    if len(set(modifiers)) < len(modifiers) or not set(modifiers) <= {"ctrl", "shift", "alt"}:
        return ""
    known = last in _NAMED or (last in _CHARACTERS and not modifiers)
    known = known or (bool(modifiers) and "shift" not in modifiers and len(last) == 1 and last.isascii() and last.isalnum())
    return "+".join([name for name in ("alt", "ctrl", "shift") if name in modifiers] + [last]) if known else ""


def on_the_keyboard(key: str) -> str:
    """A key as a person reads it."""
    return _CHARACTERS.get(key, key)


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys in force, as Textual calls them: `changed` holds those of the actions that have other keys than usual, `moves` more
    keys than usual for what moves in the tree, scrolls and leaves, `name` the ready-made keymap that they began with."""

    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = "default"

    def keys(self, action: Action) -> tuple[str, ...]:
        """All keys of an action."""
        return self.changed.get(action.id) or tuple(action.keys.split(","))

    def shown(self, action: Action) -> str:
        """The key that is shown with an action."""
        return on_the_keyboard(self.changed[action.id][0]) if action.id in self.changed else action.key

    def textual(self) -> dict[str, str]:
        """For Textual: the ids of bindings with their keys."""
        found = {f"act.{action}": ",".join(keys) for action, keys in self.changed.items()}
        for move, keys in self.moves.items():
            for kind, usual in _BINDINGS.items():
                if move in usual:
                    found[f"{kind}.{move}"] = ",".join((usual[move], *keys))
        return found

    def fault(self, key: str) -> str:
        """Why a key cannot be given to an action; "" where it can."""
        name = canonical(key)
        if not name:
            return f"{key!a} is no key; expected one as on the keyboard, such as t, T, ?, f5 or ctrl+t"
        if name in OF_DIALOGS or name in self.moves.get("leave", ()):
            return f"{key} answers questions, and must mean nothing else"
        if name in _MOVING or any(name in keys for keys in self.moves.values()):
            return f"{key} moves in the tree" + (f" (keymap {self.name})" if name not in _MOVING else "")
        return ""

    def with_keys(self, chosen: Mapping[str, tuple[str, ...]]) -> Keymap:
        """The same with other keys for some actions."""
        return replace(self, changed={**self.changed, **chosen})

    def clashes(self, chosen: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """What is wrong with keys (Textual's names) that were chosen for actions: the action's id, and which key another one has.

        The answer is about the chosen ones, so that taking those back leaves each key with one action.
        """
        wrong: dict[str, str] = {}
        while True:
            holders: dict[str, str] = {}
            own = {action: tuple(keys) for action, keys in chosen.items() if action not in wrong}
            map_ = self.with_keys(own)
            new: dict[str, str] = {}
            for action in sorted(ACTIONS, key=lambda action: action.id in own):  # what was not chosen has the older right
                for key in map_.keys(action):
                    other = holders.setdefault(key, action.id)
                    if other == action.id:
                        continue
                    loser, winner = (action.id, other) if action.id in own else (other, action.id)
                    new.setdefault(loser, f"{on_the_keyboard(key)} is the key of {winner} ({BY_ID[winner].title})")
            if not new:
                return wrong
            wrong |= new


USUAL = Keymap()


@functools.cache
def ready() -> dict[str, Keymap]:
    """The ready-made keymaps by name."""
    return {
        name: Keymap(
            {action: tuple(keys) for action, keys in table.get("keys", {}).items()},
            {move: tuple(keys) for move, keys in table.get("moves", {}).items()},
            name,
        )
        for name, table in _tables().items()
    }


def abouts() -> dict[str, str]:
    """What each ready-made keymap is like."""
    return {name: table["about"] for name, table in _tables().items()}


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("vfdeck.app").joinpath("keymaps.toml").read_text(encoding="utf-8"))
