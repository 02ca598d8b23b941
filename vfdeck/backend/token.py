"""The VF token: a secret that is hard to leak by accident.

A token is 16 bytes shared between the user of a PF and the users of its VFs. Nobody can read it back from the kernel, so the
only places it can leak from are programs that hold it. Objects of `Token` print as a fingerprint, cannot be pickled, and give
their secret only to those who ask for it by name.
"""

from __future__ import annotations

import uuid

from vfdeck.backend.digest import same, sha256


class TokenError(ValueError):
    """A text that is no UUID; the message says what is wrong and where, and never repeats the text itself."""


class Token:
    """A VF token. Compare with `==` (constant time), never by `fingerprint`, which is for showing; unwrap with `reveal()`."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 16:
            raise TokenError(f"a VF token has 16 bytes, not {len(secret)}")
        self._secret = bytes(secret)

    @classmethod
    def generate(cls) -> Token:
        """A fresh random token (version 4 UUID from the system's random source)."""
        return cls(uuid.uuid4().bytes)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a UUID as people write it: any case, with or without hyphens, braces or `urn:uuid:`.

        Raises:
            TokenError: with length, position and character of the first fault.
        """
        return cls(bytes.fromhex(_hex_digits(text)))

    def reveal(self) -> bytes:
        """The 16 secret bytes, for the call that hands them to a kernel and for nothing else."""
        return self._secret

    def reveal_text(self) -> str:
        """The secret as the kernel's option wants it (8-4-4-4-12, lower case); same care as `reveal`."""
        return str(uuid.UUID(bytes=self._secret))

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of a SHA-256, by which people tell tokens apart: the same on every host, without salt.

        It does not give a random token away. One that can be guessed it does: whoever sees the fingerprint tries all guesses, some
        hundred thousand in a second. And another token with the same fingerprint can be made, by four thousand million
        tries: equal fingerprints are a strong hint and no proof. Where both tokens are at hand compare these.
        """
        return sha256(b"vfdeck VF token\0" + self._secret).hexdigest()[:8]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and same(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Token(#{self.fingerprint})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Token is a secret and is not pickled")


def _hex_digits(text: str) -> str:
    """The 32 hex digits of a UUID text, or TokenError naming the first fault."""
    body = text.strip()
    body = body[9:] if body.lower().startswith("urn:uuid:") else body
    if body[:1] == "{" and body[-1:] == "}":
        body = body[1:-1]
    elif body[:1] == "{":
        raise TokenError("not a UUID: the } that closes it is missing")
    for position, char in enumerate(body, 1):
        if char not in "0123456789abcdefABCDEF-":
            raise TokenError(f"not a UUID: character {position} is not a hex digit or hyphen")
    digits = body.replace("-", "")
    if len(digits) != 32:
        raise TokenError(f"not a UUID: {len(digits)} hex digits, expected 32")
    if "-" in body and [len(part) for part in body.split("-")] != [8, 4, 4, 4, 12]:
        raise TokenError("not a UUID: hyphens belong after digits 8, 12, 16 and 20")
    return digits
