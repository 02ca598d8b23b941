"""PCI addresses (BDFs) as the kernel writes them: domain, bus, device and function (`0000:03:02.1`)."""

from __future__ import annotations

import re

#: A domain has more than four digits on hosts with VMD. A device number has five bits, a function number three.
PATTERN = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]"
BDF = re.compile(PATTERN)
_TYPED = re.compile(r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.IGNORECASE)


def is_bdf(text: str) -> bool:
    """Whether a text is an address and nothing else."""
    return BDF.fullmatch(text) is not None


def typed(text: str) -> str | None:
    """The address that a person typed, in any case and with or without a domain, as the kernel writes it; None if it is none."""
    if _TYPED.fullmatch(text) is None:
        return None
    return (text if text.count(":") == 2 else f"0000:{text}").lower()
