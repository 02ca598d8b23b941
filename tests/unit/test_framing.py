"""Messages on a stream: whatever somebody sends, it is a message or the end of the connection."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend.agent.framing import DEPTH, REQUEST, Garbled, Reader, message, pieces

VALUES = st.dictionaries(
    st.text(max_size=8), st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4), max_size=4
)


@given(st.lists(VALUES, max_size=4), st.integers(1, 7))
def test_messages_come_whole_however_the_bytes_come(values: list[dict[str, Any]], step: int) -> None:
    stream, reader = b"".join(map(message, values)), Reader()
    found = [one for start in range(0, len(stream), step) for one in reader.feed(stream[start : start + step])]
    assert found == values
    assert reader.is_empty


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no JSON at character 0"),
        (b"{", "no JSON at character 1"),
        (b"[1]", "JSON that is no object"),
        (b'"x"', "JSON that is no object"),
        (b'{"a":NaN}', "a number that is none, or too long"),
        (b'{"a":-Infinity}', "a number that is none, or too long"),
        (b'{"a":1,"a":2}', "an object that has a name twice"),
        (b'{"a":"\xff"}', "bytes that are no UTF-8"),
        (b'{"a":' * (DEPTH + 1) + b"1" + b"}" * (DEPTH + 1), f"more than {DEPTH} objects and arrays in one another"),
        (b"[" * 60_000, f"more than {DEPTH} objects and arrays in one another"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number that is none, or too long"),
    ],
)
def test_what_is_no_message(text: bytes, why: str) -> None:
    with pytest.raises(Garbled) as garbled:
        list(Reader().feed(text + b"\0"))
    assert str(garbled.value) == f"expected a JSON object that ends with NUL, got {why}"


def test_as_deep_as_may_be_and_brackets_within_texts() -> None:
    value: Any = 1
    for _ in range(DEPTH - 1):
        value = [value]
    for told in ({"a": value}, {"a": '["\\' + "[{" * 50}):
        assert list(Reader().feed(message(told))) == [told]


#: Characters that mean something in JSON, and one that needs two bytes.
_ODD = st.text('{}[]"\\é', max_size=6)


@given(st.recursive(_ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ODD, inner, max_size=3)))
def test_a_message_is_as_deep_as_what_is_in_it(value: Any) -> None:
    def depth(one: Any) -> int:
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    data = message({"parameters": value})
    deep = 1 + depth(value)
    assert list(Reader(depth=deep).feed(data)) == [{"parameters": value}]
    with pytest.raises(Garbled, match="in one another"):
        list(Reader(depth=deep - 1).feed(data))


@pytest.mark.parametrize("data", [b"x" * (REQUEST + 1), b"x" * (REQUEST + 1) + b"\0"])
def test_what_is_too_long_ends_at_once(data: bytes) -> None:
    reader = Reader()
    with pytest.raises(Garbled, match="a message of more than 65536 bytes"):
        list(reader.feed(data))
    assert reader.is_empty


def test_half_a_message_is_told_from_none() -> None:
    reader = Reader()
    assert list(reader.feed(b'{"a"')) == []
    assert not reader.is_empty


def test_a_million_bytes_of_garbage() -> None:
    """No fault but ours, and no more memory than one message takes."""
    chance = random.Random(7)
    tracemalloc.start()
    try:
        read = 0
        while read < 1_000_000:
            reader = Reader()
            try:
                while read < 1_000_000:
                    data = bytes(chance.choice(b'{}[]",:\\0019aenul\0\xff') for _ in range(chance.randrange(1, 400)))
                    read += len(data)
                    for value in reader.feed(data):
                        assert isinstance(value, dict)
            except Garbled:
                continue
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try:
        for value in Reader().feed(data):
            json.dumps(value)
    except Garbled:
        pass


@given(VALUES)
def test_pieces_are_the_message(value: dict[str, Any]) -> None:
    many = {"a": {"b": {"c": {str(number): value for number in range(300)}, "d": value}}}
    whole = json.dumps(many, separators=(",", ":")) + "\0"
    made = list(pieces(many))
    assert "".join(made) == whole
    assert message(many) == whole.encode("ascii")
    assert max(map(len, made)) < max(len(whole) / 2, 2000), "the many are not written at once"
