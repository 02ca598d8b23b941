"""Keys as they are written in the settings, as Textual calls them, and as they stand on the keyboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.keys import _character_to_key

from vfdeck.app import keymap
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.keymap import Keymap
from vfdeck.widgets.fleet_tree import FleetTree


def test_characters_are_called_as_textual_calls_them() -> None:
    for char in map(chr, range(0x21, 0x7F)):
        assert keymap.canonical(char) == _character_to_key(char)
        assert keymap.on_the_keyboard(keymap.canonical(char)) == char
        assert keymap.canonical(keymap.canonical(char)) == keymap.canonical(char)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("question_mark", "question_mark"),
        ("F5", "f5"),
        ("ctrl+t", "ctrl+t"),
        ("Ctrl+T", "ctrl+t"),
        ("shift+ctrl+up", "ctrl+shift+up"),
        ("alt+x", "alt+x"),
        ("shift+f3", "shift+f3"),
        ("", ""),
        ("f25", ""),
        ("hyper+q", ""),
        ("ctrl+ctrl+a", ""),
        ("ctrl", ""),
        ("ctrl+", ""),
        ("shift+a", ""),  # that is A
        ("é", ""),
        ("\x1b", ""),
        ("tt", ""),
    ],
)
def test_names_of_keys(typed: str, name: str) -> None:
    assert keymap.canonical(typed) == name


@given(st.text(max_size=20))
def test_any_text_is_a_key_or_none(text: str) -> None:
    name = keymap.canonical(text)
    assert keymap.canonical(name) == name or not name


def test_keys_of_the_tree_are_those_that_it_binds() -> None:
    bound = {key for binding in FleetTree.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    assert bound == keymap.OF_THE_TREE


def test_the_registrys_own_keys_could_be_chosen() -> None:
    """No action has a key of the tree or of dialogs, and each key is shown as what it is."""
    for action in ACTIONS:
        keys = action.keys.split(",")
        assert [keymap.canonical(key) for key in keys] == keys
        assert [keymap.fault(key) for key in keys] == [""] * len(keys), action.id
        assert action.key == keymap.on_the_keyboard(keys[0])
    assert keymap.clashes({}) == {}


@pytest.mark.parametrize(
    ("key", "said"), [("y", "answers questions"), ("enter", "answers"), ("j", "moves in the tree"), ("hyper", "is no key")]
)
def test_keys_that_cannot_be_given(key: str, said: str) -> None:
    assert said in keymap.fault(key)


def test_two_actions_with_one_key() -> None:
    assert keymap.clashes({"token": ("v",)}) == {"token": "v is the key of vfs (Set the number of VFs)"}
    assert keymap.clashes({"token": ("v",), "vfs": ("t",)}) == {}
    both = keymap.clashes({"token": ("f9",), "vfs": ("f9",)})
    assert list(both) == ["vfs"]
    # what one gives up for nothing, another does not get
    assert set(keymap.clashes({"token": ("q",), "vfs": ("t",)})) == {"token", "vfs"}


@given(st.dictionaries(st.sampled_from(sorted(BY_ID)), st.lists(st.sampled_from([*"tvbuqxf"]), min_size=1, max_size=3), max_size=6))
def test_without_the_clashing_ones_every_key_has_one_action(chosen: dict[str, list[str]]) -> None:
    wrong = keymap.clashes(chosen)
    left = Keymap({action: tuple(dict.fromkeys(keys)) for action, keys in chosen.items() if action not in wrong})
    keys = [key for action in ACTIONS for key in left.keys(action)]
    assert len(keys) == len(set(keys))
    assert set(wrong) <= set(chosen)
