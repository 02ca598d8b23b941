"""Vital Product Data as a maker writes it into a card; `vfdeck.backend.vpd` reads it."""

from __future__ import annotations

from collections.abc import Mapping


def encode(name: str = "", fields: Mapping[str, str] | None = None, **_: object) -> bytes:
    """A name, and read-only fields by their keywords, with checksum and end tag. Lengths: a field at most 255 bytes."""
    body = b"".join(key.encode() + bytes([len(value.encode())]) + value.encode() for key, value in (fields or {}).items())
    start = _resource(0x82, name.encode()) + b"\x90" + (len(body) + 4).to_bytes(2, "little") + body + b"RV\x01"
    return start + bytes([-sum(start) & 0xFF]) + b"\x78"


def _resource(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + len(content).to_bytes(2, "little") + content
