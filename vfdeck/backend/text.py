"""Foreign text made safe to show, once, where it enters the backend.

Device names, driver messages, process names and file contents come from firmware, modules and other programs. Whatever could
move a cursor, reorder a line or pass for an escape sequence becomes a visible mark here; what leaves this module is one
printable line.
"""

from __future__ import annotations

import unicodedata

#: Longest foreign text that is kept; the rest is cut and marked with an ellipsis.
LIMIT = 200

_VISIBLE = {0x09: "␉", 0x0A: "␊", 0x0D: "␍", 0x7F: "␡"}
# Cc: controls; Cf: format characters (bidi marks, zero-width joiners); Cs: surrogates, which stand for undecodable bytes;
# Co, Cn: no agreed glyph; Zl, Zp: line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _mark(char: str) -> str:
    """The visible stand-in of one character that must not reach a terminal."""
    code = ord(char)
    if code in _VISIBLE:
        return _VISIBLE[code]
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def printable(text: str | bytes, limit: int = LIMIT) -> str:
    """Return `text` as one printable line of at most `limit` characters.

    Bytes are taken as UTF-8 with undecodable bytes shown as `\\xNN`. Trailing white space goes. Control characters, escape
    sequences, bidi marks, zero-width characters and surrogates become visible marks, so the result holds nothing that a
    terminal acts upon.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    text = text.rstrip()
    if text.isascii() and text.isprintable():
        safe = text
    else:
        text = text[: limit + 1]
        safe = "".join(_mark(c) if unicodedata.category(c) in _HIDDEN else c for c in text)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
