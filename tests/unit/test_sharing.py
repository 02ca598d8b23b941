"""Hosts that are alike share what is equal, and remain what they were."""

from __future__ import annotations

from tests import values
from vfdeck.backend.sharing import Sharing


def test_equal_hosts_share_their_functions() -> None:
    sharing = Sharing()
    one = sharing.of(values.snapshot(*values.make_fleet(4), host={"name": "a"}))
    before = values.snapshot(*values.make_fleet(4), host={"name": "b"}, holders=(values.make_holder("0000:3b:02.0"),))
    other = sharing.of(before)
    assert other == before
    assert other.functions is one.functions
    assert other.groups is one.groups


def test_others_do_not() -> None:
    sharing = Sharing()
    one = sharing.of(values.snapshot(*values.make_fleet(4)))
    other = sharing.of(values.snapshot(*values.make_fleet(5)))
    assert len(other.functions) > len(one.functions)


def test_little_is_remembered() -> None:
    sharing = Sharing(limit=20)
    first = sharing.of(values.snapshot(*values.make_fleet(8)))
    for number in range(9, 12):
        sharing.of(values.snapshot(*values.make_fleet(number)))
    again = values.snapshot(*values.make_fleet(8))
    assert sharing.of(again).functions is again.functions
    assert first.functions == again.functions
    large = values.snapshot(*values.make_fleet(30))
    assert sharing.of(large) is large
    assert sharing.of(values.snapshot(*values.make_fleet(30))).functions is not large.functions
