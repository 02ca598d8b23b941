"""The language of filters and searches: `driver:vfio-pci token:unset held:yes x710`. No Textual in here.

Words beside each other must all hold. `key:value` asks for one thing, where commas separate what would do as well and `*` stands
for anything; `users`, `vfs`, `group` and `numa` take `>2` and `<2` too. `-` before a word asks for the opposite. A word without a
key is looked for in everything that is known of a function by name. Capitals make no difference.

What could not be checked is neither yes nor no: `held:no` holds only where all processes were looked at, `held:unknown` elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from vfdeck.backend.model import Function, Role, Snapshot, TokenState
from vfdeck.widgets.nearest import meant_perhaps
from vfdeck.widgets.state import Index, State, guard, index_of, role_text

#: Whether a function is meant.
Test = Callable[[Function, Index], bool]
#: What a function has to show under a key: any of these will do.
Values = Callable[[Function, Index], Iterable[str]]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key: what it is about, what a function shows under it, and how values are compared."""

    about: str
    values: Values
    choices: tuple[str, ...] = ()  # where given, no other value makes sense
    part: bool = False  # a part of the text will do
    number: bool = False


class FilterFault(ValueError):
    """What was typed is no filter; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Query:
    """A filter that was understood: its text, its test, and the plain words in it, for highlighting."""

    text: str
    test: Test
    words: tuple[str, ...] = ()


def _held(function: Function, index: Index) -> Iterable[str]:
    """yes, no, or unknown where somebody may hold it who could not be looked at."""
    if function.bdf in index.holders:
        return ("yes",)
    unsure = function.on_vfio and (index.snapshot.unseen or index.snapshot.unattributed)
    return ("unknown",) if unsure else ("no",)


def _token(function: Function, index: Index) -> Iterable[str]:
    """What is known of the token that guards it: a VF shows its PF's."""
    knowledge = guard(function, index.snapshot)
    if knowledge is None:
        return ("none",)
    needed = ("needed",) if function.role is Role.VF else ()
    return (str(knowledge.state), *needed, f"#{knowledge.fingerprint}" if knowledge.fingerprint else "")


def _holders(function: Function, index: Index) -> Iterable[str]:
    """Programs, pids and users."""
    return (
        text for h in index.holders.get(function.bdf, ()) for text in (h.program, str(h.pid), h.user, "vfdeck" if h.own else "")
    )


def _users(function: Function, index: Index) -> Iterable[str]:
    """A PF's VFs in use, as shown: `≥3` where not all processes could be looked at."""
    return (str(index.users(function)),) if function.sriov is not None else ()


def _vfs(function: Function, _: Index) -> Iterable[str]:
    return (str(function.sriov.numvfs),) if function.sriov is not None else ()


def _names(function: Function, _: Index) -> Iterable[str]:
    return (function.name, *function.interfaces, *function.disks)


def _link(function: Function, _: Index) -> Iterable[str]:
    """full or degraded; unknown where the function has none of its own, as a VF, or does not tell."""
    return ("unknown",) if function.link is None else ("degraded",) if function.link.degraded else ("full",)


def _address(function: Function, _: Index) -> Iterable[str]:
    return (function.bdf,)


def _group(function: Function, _: Index) -> Iterable[str]:
    return ("none" if function.iommu_group is None else str(function.iommu_group),)


def _numa(function: Function, _: Index) -> Iterable[str]:
    return ("none" if function.numa_node is None or function.numa_node < 0 else str(function.numa_node),)


_KEYS = {
    "address": _Key("its PCI address, or a part of it", _address, part=True),
    "driver": _Key("the driver it is on; none", lambda f, _: (f.driver or "none",)),
    "group": _Key("its IOMMU group; none", _group, number=True),
    "held": _Key("whether somebody holds it", _held, ("yes", "no", "unknown")),
    "holder": _Key("program, pid or user of who holds it", _holders, part=True),
    "host": _Key("the host it is in", lambda _, i: (i.snapshot.host.name,), part=True),
    "kernel": _Key("the release of its host's kernel", lambda _, i: (i.snapshot.host.kernel,), part=True),
    "link": _Key("whether its link runs at full speed", _link, ("full", "degraded", "unknown")),
    "name": _Key("vendor, device, interface or disk", _names, part=True),
    "numa": _Key("its NUMA node; none", _numa, number=True),
    "override": _Key("its driver_override; none", lambda f, _: (f.driver_override or "none",)),
    "pf": _Key("a VF's PF, by address", lambda f, _: (f.physfn or "",), part=True),
    "role": _Key("what it is to SR-IOV", lambda f, _: (str(f.role).lower(),), ("pf", "vf", "plain")),
    "state": _Key(
        "how it stands, by word or letter",
        lambda f, i: (i.state(f).word.replace(" ", "-"), i.state(f).letter.lower()),
        tuple(s.word.replace(" ", "-") for s in State),
    ),
    "token": _Key(
        "the token that guards it; of a VF its PF's",
        _token,
        (*(str(s) for s in TokenState), "needed"),
    ),
    "users": _Key("how many VFs of a PF are in use", _users, number=True),
    "vfs": _Key("how many VFs a PF has", _vfs, number=True),
}
#: The keys, and what each is about.
KEYS = {name: key.about for name, key in _KEYS.items()}

_WORD = re.compile(r"(-?)(?:([a-z_]+):)?(.*)", re.IGNORECASE | re.DOTALL)
_ADDRESS_PART = re.compile(r"[0-9a-f]{1,8}(:[0-9a-f]{0,2}){0,2}(\.[0-7]?)?", re.IGNORECASE)


def parse(text: str) -> Query:
    """Understand a filter; of an empty one everything is meant.

    Raises:
        FilterFault: there is no such key, or the key has no such value.
    """
    tests: list[Test] = []
    words: list[str] = []
    for word in text.split():
        match = _WORD.fullmatch(word)
        assert match is not None
        minus, name, value = match[1], (match[2] or "").lower(), match[3].lower()
        if name and name not in _KEYS and _ADDRESS_PART.fullmatch(word.removeprefix("-")):
            name, value = "", word.removeprefix("-").lower()  # an address, not a key
        if not name and not value:
            continue
        test = _key_test(name, value) if name else _word_test(value)
        tests.append(_not(test) if minus else test)
        if not minus:
            words += [value] if not name else [v for v in value.split(",") if v and _KEYS[name].part]
    return Query(text.strip(), _all(tests), tuple(words))


def _key_test(name: str, value: str) -> Test:
    key = _KEYS.get(name)
    if key is None:
        raise FilterFault(f"no key {name}{meant_perhaps(name, _KEYS)}: there is {', '.join(_KEYS)}")
    values = [part for part in value.split(",") if part]
    if not values:
        raise FilterFault(f"{name}: what? {_offer(key)}")
    unknown = [v for v in values if key.choices and not _possible(name, v, key)]
    if unknown:
        raise FilterFault(f"{name} is never {unknown[0]}{meant_perhaps(unknown[0], key.choices)}: {_offer(key)}")
    matchers = [_matcher(v, key) for v in values]
    shown = key.values

    def test(function: Function, index: Index) -> bool:
        return any(matches(have.lower()) for have in shown(function, index) for matches in matchers)

    return test


def _possible(name: str, value: str, key: _Key) -> bool:
    """Whether a key that has few values can have this one."""
    letters = tuple(s.letter.lower() for s in State) if name == "state" else ()
    return "*" in value or value in (*key.choices, *letters) or (name == "token" and value.startswith("#"))


def _offer(key: _Key) -> str:
    """What can stand after a key."""
    return f"one of {', '.join(key.choices)}" if key.choices else key.about


def _matcher(value: str, key: _Key) -> Callable[[str], bool]:
    """How one value is compared with what a function shows."""
    if key.number and value[0] in "<>" and value[1:].isascii() and value[1:].isdigit():
        bound = int(value[1:])
        if value[0] == ">":
            return lambda have: have.removeprefix("≥").isdigit() and int(have.removeprefix("≥")) > bound
        return lambda have: have.isdigit() and int(have) < bound  # of "at least 0" nobody knows whether it is less than 2
    if "*" in value:
        pattern = re.compile(translate(value.replace("[", "[[]").replace("?", "[?]")))
        return lambda have: pattern.fullmatch(have) is not None
    if key.part:
        return lambda have: value in have
    return lambda have: have == value


def _word_test(word: str) -> Test:
    """Whether a word is in what is known of a function by name."""

    def test(function: Function, index: Index) -> bool:
        return word in haystack(function, index)

    return test


def haystack(function: Function, index: Index) -> str:
    """Everything that a plain word is looked for in, in small letters; words don't match across the newlines in it."""
    text = index.texts.get(function.bdf)
    if text is None:
        text = index.texts[function.bdf] = _text(function, index)
    return text


def _text(function: Function, index: Index) -> str:
    state = index.state(function).word
    parts = [function.bdf, role_text(function), function.driver or "", state, *_names(function, index), *_holders(function, index)]
    return "\n".join((*parts, index.snapshot.host.name)).lower()


def _all(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda function, index: all(test(function, index) for test in tests)


def _not(test: Test) -> Test:
    return lambda function, index: not test(function, index)


# -- completion -------------------------------------------------------------------------------------------------------
def completions(text: str, snapshots: Sequence[Snapshot], limit: int = 12) -> list[str]:
    """What the last word of `text` may become: keys with their colon, or `key:value` with values that occur. At most `limit`."""
    *_, word = ["", *re.split(r"\s", text)]
    minus, rest = ("-", word[1:]) if word.startswith("-") else ("", word)
    name, colon, value = rest.lower().partition(":")
    if not colon:
        return [f"{minus}{key}:" for key in _KEYS if key.startswith(name)][:limit]
    key = _KEYS.get(name)
    if key is None:
        return []
    before, comma, last = value.rpartition(",")
    found = key.choices or tuple(_occurring(key, last, snapshots, limit))
    return [f"{minus}{name}:{before}{comma}{one}" for one in found if one.startswith(last) and one != last][:limit]


#: Functions that are looked at for values that occur, host by host: enough to help, little enough for a key
_LOOK_AT = 2000


def _occurring(key: _Key, start: str, snapshots: Sequence[Snapshot], limit: int) -> list[str]:
    """Values of a key that occur and begin with `start`, the first `limit` of them; a fleet is not walked to its end for that."""
    found: dict[str, None] = {}
    looked = 0
    for snapshot in snapshots:
        index = index_of(snapshot)
        for function in snapshot.functions.values():
            looked += 1
            for value in key.values(function, index):
                if value and " " not in value and value.lower().startswith(start):
                    found[value.lower()] = None
        if looked > _LOOK_AT or len(found) > 4 * limit:
            break
    return sorted(found, key=lambda value: (len(value), value) if value.isdigit() else (0, value))


def completed(text: str, completion: str) -> str:
    """`text` with its last word replaced; a value ends with a space, so that the next word can be typed."""
    head = text[: len(text) - len(re.split(r"\s", text)[-1])] if text else ""
    return head + completion + ("" if completion.endswith(":") else " ")
