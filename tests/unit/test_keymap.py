"""Keys as they are written in the settings, as Textual calls them, and as they stand on the keyboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.keys import _character_to_key

from vfdeck.app import keymap
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.keymap import USUAL, Keymap
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
    bound = {binding.id: binding.key for binding in FleetTree.BINDINGS}  # type: ignore[union-attr]
    assert bound == {f"move.{move}": keys for move, keys in keymap.OF_THE_TREE.items()}


def test_the_registrys_own_keys_could_be_chosen() -> None:
    """No action has a key of the tree or of dialogs, and each key is shown as what it is."""
    for action in ACTIONS:
        keys = action.keys.split(",")
        assert [keymap.canonical(key) for key in keys] == keys
        assert [USUAL.fault(key) for key in keys] == [""] * len(keys), action.id
        assert action.key == keymap.on_the_keyboard(keys[0])
    assert USUAL.clashes({}) == {}


@pytest.mark.parametrize(
    ("key", "said"), [("y", "answers questions"), ("enter", "answers"), ("j", "moves in the tree"), ("hyper", "is no key")]
)
def test_keys_that_cannot_be_given(key: str, said: str) -> None:
    assert said in USUAL.fault(key)


def test_two_actions_with_one_key() -> None:
    assert USUAL.clashes({"token": ("v",)}) == {"token": "v is the key of vfs (Set the number of VFs)"}
    assert USUAL.clashes({"token": ("v",), "vfs": ("t",)}) == {}
    both = USUAL.clashes({"token": ("f9",), "vfs": ("f9",)})
    assert list(both) == ["vfs"]
    # what one gives up for nothing, another does not get
    assert set(USUAL.clashes({"token": ("q",), "vfs": ("t",)})) == {"token", "vfs"}


@given(st.dictionaries(st.sampled_from(sorted(BY_ID)), st.lists(st.sampled_from([*"tvbuqxf"]), min_size=1, max_size=3), max_size=6))
def test_without_the_clashing_ones_every_key_has_one_action(chosen: dict[str, list[str]]) -> None:
    wrong = USUAL.clashes(chosen)
    left = Keymap({action: tuple(dict.fromkeys(keys)) for action, keys in chosen.items() if action not in wrong})
    keys = [key for action in ACTIONS for key in left.keys(action)]
    assert len(keys) == len(set(keys))
    assert set(wrong) <= set(chosen)


# -- ready-made keymaps ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", keymap.ready())
def test_a_ready_made_keymap_gives_each_key_one_meaning(name: str) -> None:
    ready = keymap.ready()[name]
    assert ready.name == name
    assert keymap.abouts()[name]
    assert set(ready.changed) <= set(BY_ID)
    assert set(ready.moves) <= {*keymap.OF_THE_TREE, "leave"}
    of_actions = [key for action in ACTIONS for key in ready.keys(action)]
    more = [key for keys in ready.moves.values() for key in keys]
    usual = [key for keys in keymap.OF_THE_TREE.values() for key in keys.split(",")]
    everything = [*of_actions, *more, *usual, *keymap.OF_DIALOGS - set(usual)]
    assert len(everything) == len(set(everything)), sorted(key for key in everything if everything.count(key) > 1)
    assert [keymap.canonical(key) for key in [*of_actions, *more]] == [*of_actions, *more]
    assert ready.clashes({}) == {}
    assert all(ready.fault(key) for key in more)


def test_the_usual_keymap_is_the_registrys() -> None:
    assert keymap.ready()["default"] == USUAL


def test_own_keys_are_judged_by_the_keymap_they_are_added_to() -> None:
    vim = keymap.ready()["vim"]
    assert vim.clashes({"token": ("u",)}) == {"token": "u is the key of undo (Take back the last change)"}
    assert vim.clashes({"token": ("z",)}) == {}
    assert USUAL.clashes({"token": ("z",)}) == {"token": "z is the key of undo (Take back the last change)"}
    assert "moves in the tree (keymap vim)" in vim.fault("ctrl+f")
    assert USUAL.fault("ctrl+f") == ""
    assert "answers questions" in keymap.ready()["emacs"].fault("ctrl+g")
    own = vim.with_keys({"undo": ("f9",)})
    assert own.keys(BY_ID["undo"]) == ("f9",)
    assert own.keys(BY_ID["unbind"]) == ("U",)
    assert own.textual()["move.page_down"] == "pagedown,ctrl+f,ctrl+d"
    assert own.textual()["scroll.page_down"] == "space,ctrl+f,ctrl+d"
