"""What was handed on is taken back where it counts for nothing, and only there; one that fails or hangs keeps no other."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from vfdeck.app import failure, token_delivery
from vfdeck.app.dashboard.handed import Handed, HandedOn
from vfdeck.app.failure import Failure
from vfdeck.app.files import new_file
from vfdeck.backend.token import Token


class _Delivery:
    def __init__(self, withdraw: Callable[[], str]) -> None:
        self._withdraw = withdraw

    def deliver(self, token: Token) -> str:
        raise AssertionError

    def withdraw(self) -> str:
        return self._withdraw()


def _fail() -> str:
    raise ValueError("embedded null byte")


def _handed(name: str, withdraw: Callable[[], str] | None = None) -> Handed:
    return Handed(Token.generate(), _Delivery(withdraw or (lambda: f"{name} was removed again")), f"written to {name}")


def test_what_is_being_asked_about_stays() -> None:
    handed, one = HandedOn(), _handed("a")
    handed.add(one)
    assert asyncio.run(handed.take_back()) == []
    assert handed.places(one.token) == ["written to a"]
    handed.asked()
    assert asyncio.run(handed.take_back()) == ["a was removed again"]
    assert handed.places(one.token) == []


def test_of_a_change_that_came_back_only_its_token_is_taken_back() -> None:
    handed, mine, other = HandedOn(), _handed("mine"), _handed("other")
    for one in (mine, other):
        handed.add(one)
        handed.begun(one.token)
    handed.asked()
    for one in (mine, other):
        handed.over(one.token, False)
    assert handed.is_useless(mine.token)
    assert asyncio.run(handed.take_back(mine.token)) == ["mine was removed again"]
    assert not handed.is_useless(mine.token)
    assert handed.places(other.token) == ["written to other"]


def test_one_that_fails_keeps_none_of_the_others() -> None:
    handed = HandedOn()
    for one in (bad := _handed("bad", _fail), _handed("good")):
        handed.add(one)
    handed.asked()
    told = asyncio.run(handed.take_back())
    assert told == ["written to bad: it could not be taken back (ValueError); its token was not set", "good was removed again"]
    assert handed.taken_back(bad.token) == told[:1]


def test_all_that_do_not_answer_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked side by side: each waits for the others here. What comes of the late ones is told then."""
    monkeypatch.setattr("vfdeck.app.dashboard.handed.PATIENCE", 0.05)
    handed, gate, asked = HandedOn(), threading.Event(), threading.Barrier(3)

    def late() -> str:
        asked.wait(20)
        gate.wait(20)
        return "removed late"

    both = [_handed("a", late), _handed("b", late)]
    for one in both:
        handed.add(one)
    handed.asked()

    async def run() -> None:
        asking = asyncio.ensure_future(handed.take_back())
        await asyncio.to_thread(asked.wait, 20)
        assert all("does not answer now" in text for text in await asking)
        gate.set()
        while handed.taken_back(both[0].token) != ["removed late"] or handed.taken_back(both[1].token) != ["removed late"]:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_file_that_cannot_be_closed_leaves_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may tell only then that it has no room (close(2): EDQUOT, EIO over NFS)."""

    make = new_file

    @contextmanager
    def unclosed(path: str) -> Iterator[TextIO]:
        with make(path) as out:
            yield out
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(token_delivery, "new_file", unclosed)
    with pytest.raises(Failure, match="Input/output error; nothing was set") as told:
        token_delivery.to_file(str(tmp_path / "t")).deliver(Token.generate())
    assert told.value.status == failure.IO
    assert not (tmp_path / "t").exists()


def test_a_token_that_is_written_in_part_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(Failure, match="nothing was set"):
        token_delivery.to_file(str(tmp_path / "t")).deliver(Token.generate())
    assert not (tmp_path / "t").exists()
