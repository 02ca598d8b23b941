"""What ends a step is what happened on the host: each is met by the thing itself, and by nothing less."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vfdeck.app.tour import Progress, lessons
from vfdeck.backend.changes import Change, Close, Open, OpenPath, Outcome, SetNumvfs, SetToken
from vfdeck.backend.sim.lab import LabHost
from vfdeck.backend.token import Token

PF, WEB, VF = "0000:03:00.0", "0000:03:02.0", "0000:03:02.1"
OTHER = Token.parse("9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07")


@contextmanager
def lesson(number: int) -> Iterator[tuple[LabHost, Progress]]:
    """A lesson's host and how far it has come."""
    found = lessons().all[number - 1]
    host = LabHost(found.stage)
    try:
        yield host, Progress(found)
    finally:
        host.close()


def do(host: LabHost, progress: Progress, *changes: Change) -> None:
    """Make changes and look after each, as the dashboard does."""
    for change in changes:
        progress.take(host.perform(change))
        progress.look(host.snapshot())


def known(host: LabHost) -> Token:
    """The token that the stage has set."""
    assert host.known is not None
    return host.known.token


def test_set_a_token() -> None:
    with lesson(1) as (host, progress):
        do(host, progress, Open(PF))
        assert not progress.is_done
        do(host, progress, SetToken(PF, OTHER))
        assert progress.is_done


def test_be_refused_without_it() -> None:
    with lesson(2) as (host, progress):
        do(host, progress, Open(VF, known(host)), Open(VF, OTHER), Open(PF), SetToken(PF, OTHER))
        assert not progress.is_done
        do(host, progress, Open(VF))
        assert progress.is_done


def test_open_it_and_hold_it() -> None:
    with lesson(3) as (host, progress):
        do(host, progress, Open(VF), Open(VF, known(host)), Open(PF, known(host), hold=True))
        assert not progress.is_done
        do(host, progress, Open(VF, known(host), hold=True))
        assert progress.is_done


def test_a_vf_counts_once() -> None:
    with lesson(4) as (host, progress):
        once = Open(VF, known(host), hold=True)
        do(host, progress, once, Open(VF, known(host)))
        assert progress.number == 0
        do(host, progress, once)
        assert progress.number == 1


def test_a_third_vf_in_use_is_not_what_is_meant() -> None:
    with lesson(4) as (host, progress):
        do(host, progress, Open("0000:03:02.2", known(host), hold=True), *[Open(VF, known(host), hold=True)] * 2)
        assert progress.number == 0  # three VFs are in use, not two
        do(host, progress, Close("0000:03:02.2"))
        assert progress.number == 1


def test_the_pf_is_shut_while_a_vf_is_in_use() -> None:
    with lesson(4) as (host, progress):
        do(host, progress, *[Open(VF, known(host), hold=True)] * 2)
        do(host, progress, Open(PF, known(host)), Open(VF), Open(PF, OTHER))
        assert not progress.is_done
        do(host, progress, Open(PF))
        assert progress.is_done


def test_rotate_while_it_is_in_use() -> None:
    with lesson(5) as (host, progress):
        do(host, progress, Open("0000:03:02.2", known(host), hold=True))
        assert not progress.is_done
        do(host, progress, SetToken(PF, OTHER))
        assert progress.is_done


def test_a_rotation_after_the_machine_has_gone_is_none() -> None:
    with lesson(5) as (host, progress):
        host.act({"do": "exit", "program": 4242})
        do(host, progress, SetToken(PF, OTHER))
        assert not progress.is_done


def test_a_removal_that_does_not_wait_is_none() -> None:
    with lesson(6) as (host, progress):
        host.act({"do": "exit", "program": 4242})
        do(host, progress, SetNumvfs(PF, 0))
        assert (progress.number, progress.is_done) == (0, False)
        assert "nothing waited" in progress.hint


def test_a_removal_that_waits_and_goes_on() -> None:
    with lesson(6) as (host, progress):
        outcomes: list[Outcome] = []
        doing = threading.Thread(target=lambda: outcomes.append(host.perform(SetNumvfs(PF, 0))), daemon=True)
        doing.start()
        while progress.number == 0:
            assert doing.is_alive()
            progress.look(host.snapshot())
        assert progress.step.act is not None
        progress.look(host.snapshot())
        assert not progress.is_done
        host.act(progress.step.act)
        doing.join(30.0)
        progress.take(outcomes[0])
        progress.look(host.snapshot())
        assert progress.is_done


@pytest.mark.parametrize("path", [OpenPath.GROUP, OpenPath.CDEV])
def test_the_hole_is_on_one_path_only(path: OpenPath) -> None:
    with lesson(7) as (host, progress):
        do(host, progress, Open(VF, known(host)), Open(VF, path=path))
        assert progress.is_done is (path is OpenPath.CDEV)
