"""`--theme`: which there are, and what is said of one that there is not."""

from __future__ import annotations

import argparse

import pytest

from vfdeck.app import cli
from vfdeck.app.commands.dashboard import wanted_theme
from vfdeck.app.dashboard import themes
from vfdeck.app.failure import Failure
from vfdeck.widgets.nearest import meant_perhaps


def typed(*words: str) -> argparse.Namespace:
    """A command line's options."""
    return cli.parser().parse_args(words)


@pytest.mark.parametrize("name", themes.names())
def test_each_can_be_asked_for(name: str) -> None:
    assert wanted_theme(typed("--theme", name)) == wanted_theme(typed("demo", "--theme", name)) == name
    assert wanted_theme(typed("--theme", name, "demo")) == name


def test_none_is_asked_for() -> None:
    assert wanted_theme(typed()) == wanted_theme(typed("demo")) == ""


@pytest.mark.parametrize(("name", "meant"), [("drak", "dark"), ("Light", "light"), ("high_contrast", "high-contrast")])
def test_a_wrong_one_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(Failure) as refused:
        wanted_theme(typed("demo", "--theme", name))
    assert refused.value.status == 64
    assert refused.value.line.endswith(f"expected {', '.join(themes.names())} (did you mean {meant}?)")


def test_nothing_near_is_not_guessed_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert meant_perhaps("zebra", themes.names()) == ""
    assert cli.main(["demo", "--theme", "ze\x1bbra"]) == 64
    assert "\x1b" not in capsys.readouterr().err


def test_help_names_every_theme(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("-\n", "-").split())
    assert all(name in told for name in themes.names())
