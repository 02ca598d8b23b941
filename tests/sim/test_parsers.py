"""What reads foreign text, against references that do it byte by byte: the option string, tokens, and text for a terminal."""

from __future__ import annotations

import pickle
import string
import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend.text import LIMIT, printable
from vfdeck.backend.token import Token, TokenError
from vfdeck.backend.token_rules import Argument, ArgumentFault, format_argument, parse_argument

BDF = "0000:01:10.0"
HEX = set(string.hexdigits.encode())


# -- the option string -----------------------------------------------------------------------------------------------------
def uuid_at(argument: bytes, at: int) -> bytes | None:
    digits = bytearray()
    for index, byte in enumerate(argument[at : at + 36]):
        if index in (8, 13, 18, 23):
            if byte != 0x2D:
                return None
        elif byte not in HEX:
            return None
        else:
            digits.append(byte)
    return bytes.fromhex(digits.decode())


def reference(argument: bytes) -> tuple[str, bytes | None]:
    """The kernel's rules as a loop over bytes: the outcome's name, and the token."""
    if len(argument) + 1 > 4096:
        return "TOO_LONG", None
    at, token = len(BDF), None
    if argument[:at] != BDF.encode():
        return "NO_MATCH", None
    if at < len(argument) and argument[at] != 0x20:
        return "NO_MATCH", None
    while True:
        while at < len(argument) and argument[at] == 0x20:
            at += 1
        if at == len(argument):
            return "OK", token
        if argument[at : at + 9] != b"vf_token=":
            return "UNKNOWN_OPTION", None
        if token is not None:
            return "DUPLICATE", None
        at += 9
        if len(argument) - at < 36:
            return "SHORT", None
        token, at = uuid_at(argument, at), at + 36
        if token is None:
            return "NOT_A_UUID", None


def outcome(argument: bytes) -> tuple[str, bytes | None]:
    parsed = parse_argument(argument, BDF)
    return ("OK" if parsed.fault is None else parsed.fault.name), parsed.token


PIECES = st.one_of(
    st.sampled_from(
        [BDF.encode(), b" ", b"  ", b"vf_token=", b"vf_token", b"=", b"-", b"\t", b"\n", b",", b"{", b"}", b"0", b"g", b"\xff"]
    ),
    st.uuids().map(lambda value: str(value).encode()),
    st.uuids().map(lambda value: str(value).upper().encode()),
    st.uuids().map(lambda value: value.hex.encode()),
    st.uuids().map(lambda value: f"vf_token={value}".encode()),
    st.binary(max_size=3).filter(lambda value: b"\0" not in value),
)
STRINGS = st.lists(PIECES, max_size=6).map(b"".join)


@given(STRINGS.map(lambda rest: BDF.encode() + rest) | STRINGS | st.binary(max_size=100).filter(lambda value: b"\0" not in value))
def test_every_string_is_read_as_the_kernel_reads_it(argument: bytes) -> None:
    assert outcome(argument) == reference(argument)


@given(st.uuids(), st.integers(0, 60), st.binary(min_size=1, max_size=1).filter(lambda value: value != b"\0"))
def test_every_good_string_with_one_byte_changed(token: uuid.UUID, position: int, byte: bytes) -> None:
    good = format_argument(BDF, str(token))
    assert outcome(good) == ("OK", token.bytes)
    changed = good[:position] + byte + good[position + 1 :]
    assert outcome(changed) == reference(changed)
    inserted = good[:position] + byte + good[position:]
    assert outcome(inserted) == reference(inserted)


@given(st.integers(4085, 4105))
def test_a_page_is_the_limit(length: int) -> None:
    argument = BDF.encode().ljust(length, b" ")
    assert outcome(argument) == reference(argument)


def test_every_fault_has_an_errno_and_a_rule() -> None:
    assert {fault.errno for fault in ArgumentFault} == {19, 22}
    assert all(fault.rule for fault in ArgumentFault)
    assert parse_argument(BDF.encode(), BDF) == Argument()


# -- tokens ----------------------------------------------------------------------------------------------------------------
WRITTEN = st.sampled_from(["{}", "{{{}}}", "urn:uuid:{}", "URN:UUID:{}", " {}", "{}\n"])


@given(st.uuids(), WRITTEN, st.booleans(), st.booleans())
def test_a_uuid_is_read_as_people_write_it(value: uuid.UUID, form: str, upper: bool, hyphens: bool) -> None:
    text = str(value) if hyphens else value.hex
    token = Token.parse(form.format(text.upper() if upper else text))
    assert token.reveal() == value.bytes
    assert token.reveal_text() == str(value)
    assert token == Token(value.bytes)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_token_or_a_clear_fault(text: str) -> None:
    try:
        token = Token.parse(text)
    except TokenError as error:
        message = str(error)
    else:
        message = repr(token)
        assert len(token.reveal()) == 16
    assert message.isprintable()
    assert len(text.strip()) < 6 or text.strip() not in message


@given(st.uuids())
def test_a_token_shows_nothing_of_itself(value: uuid.UUID) -> None:
    token = Token(value.bytes)
    shown = f"{token} {token!r} {token.fingerprint}"
    assert value.hex not in shown
    assert str(value) not in shown
    assert len(token.fingerprint) == 8
    with pytest.raises(TypeError):
        pickle.dumps(token)


@given(st.uuids(), st.uuids())
def test_tokens_compare_by_their_bytes(one: uuid.UUID, other: uuid.UUID) -> None:
    assert (Token(one.bytes) == Token(other.bytes)) == (one == other)
    assert Token(one.bytes) != one.bytes


# -- text for a terminal ---------------------------------------------------------------------------------------------------
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NASTY = st.text(st.characters() | st.sampled_from(BIDI + "\x1b\x9b\r\n\t\0\x7f\u2028\u2029\u200b\ufeff\udcff"), max_size=300)


@given(NASTY | st.binary(max_size=300))
def test_nothing_that_a_terminal_acts_upon_gets_through(text: str | bytes) -> None:
    safe = printable(text)
    assert len(safe) <= LIMIT
    assert not set(safe) & set(BIDI)
    for char in safe:
        assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), ascii(char)
    safe.encode()  # no surrogates


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=LIMIT))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text.rstrip()


@given(NASTY, st.integers(1, 50))
def test_long_text_is_cut_and_marked(text: str, limit: int) -> None:
    safe = printable(text, limit)
    assert len(safe) <= limit
    assert len(text.rstrip()) <= limit or safe.endswith("…")


@given(NASTY)
def test_what_is_safe_is_safe(text: str) -> None:
    assert printable(printable(text)) == printable(text)
