"""What somebody may have meant who typed a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable


def meant_perhaps(typed: str, names: Iterable[str]) -> str:
    """A few words to put behind a refusal, ` (did you mean dark?)`; "" where no name comes near."""
    import difflib  # only where something went wrong

    known = list(names)
    folded = {name.casefold().replace("_", "-"): name for name in known}
    wanted = typed.casefold().replace("_", "-")
    near = difflib.get_close_matches(wanted, folded, 1, 0.6)
    return f" (did you mean {folded[near[0]]}?)" if near else ""
