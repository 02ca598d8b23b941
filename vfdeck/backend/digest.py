"""SHA-256, and a comparison that takes as long whatever it finds: as of hashlib and hmac, which load OpenSSL for them.

OpenSSL costs each agent and command 4 MiB and 5 ms. Python has a SHA-256 of its own, which hashlib takes where there is no OpenSSL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
    from hmac import compare_digest as same
else:
    from _operator import _compare_digest as same

    try:
        from _sha2 import sha256  # from 3.12 on
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # a Python that was built without
            from hashlib import sha256

__all__ = ["same", "sha256"]
