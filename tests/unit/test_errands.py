"""Errands: done in turn, waited for only so long, and a dead file system costs the patience once."""

from __future__ import annotations

import threading

import pytest

from vfdeck.backend.errands import Errands, silence


def test_they_are_done_in_turn() -> None:
    errands, seen = Errands(), list[int]()
    sent = [errands.send(lambda n=n: seen.append(n)) for n in range(20)]  # type: ignore[misc]
    assert errands.wait(sent[-1], 10.0)
    assert seen == list(range(20))


def test_one_that_never_comes_back_is_not_waited_for_and_the_next_are_done_when_it_does() -> None:
    errands, gate, entered, seen = Errands(), threading.Event(), threading.Event(), list[str]()

    def stuck() -> None:
        entered.set()
        gate.wait()

    first = errands.send(stuck)
    assert entered.wait(10.0)
    assert not errands.wait(first, 0.0)
    later = errands.send(lambda: seen.append("later"))
    assert not errands.wait(later, errands.late())  # so long it has been waited for already
    assert errands.late() > 0.0
    gate.set()
    assert errands.wait(later, 10.0)
    assert seen == ["later"]


def test_what_it_raises_is_raised_where_it_is_waited_for_and_the_next_is_done() -> None:
    errands = Errands()
    with pytest.raises(ZeroDivisionError):
        errands.wait(errands.send(lambda: 1 // 0), 10.0)  # type: ignore[arg-type]
    assert errands.wait(errands.send(lambda: None), 10.0)


@pytest.mark.parametrize(("seconds", "words"), [(0.6, "a moment"), (1, "1 s"), (59, "10 s"), (60, "1 min"), (9000, "1 h")])
def test_silence_is_told_in_steps(seconds: float, words: str) -> None:
    assert silence(seconds) == f"has not answered for more than {words}"
