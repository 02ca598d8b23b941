"""Values as JSON and back, by the annotations of their own dataclasses.

* A field that has its default value is left out, and so is what no other host has to know (`OMITTED`).
* A number of seconds (`float`) is an integer of nanoseconds, and its field is called `NAME_ns`: readers differ on floats.
* An enum's member goes by its name; a tuple or set is an array; a dict's keys are texts; a `range` is its two ends.
* Where something may be of several kinds, it is an object with one member, which is called by its kind: `{"SetNumvfs": {...}}`.
* A `Token` goes one way only: in a request. No reply can hold one.

Annotations are read as texts, so that this works where Python cannot evaluate them (3.9 has no `int | None`).
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from vfdeck.backend.text import printable
from vfdeck.backend.token import Token, TokenError

#: What is said of a value to nobody but who made it.
OMITTED = frozenset({("Plan", "change"), ("Outcome", "change")})

#: Names in annotations that their modules import for checkers only, and the modules that have them.
_ELSEWHERE = {
    "Lasting": "vfdeck.backend.lasting",
    "Leaks": "vfdeck.backend.leaks",
    "Seen": "vfdeck.backend.predict.seen",
    "Vpd": "vfdeck.backend.vpd",
}
_UNITS = 10**9

#: Makes JSON of a value, or a value of JSON.
Code = Callable[[Any], Any]


class Wrong(ValueError):
    """JSON that is not the value that was expected; says where and what, without repeating it."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place or 'the message'}: {what}")
        self.place = place
        self._what = what

    def within(self, outer: str) -> Wrong:
        """The same, of something that stands there: places are put together only where something is wrong, as many are passed."""
        return Wrong(outer + self.place, self._what)


class Coder:
    """One direction of one protocol: `secrets` may be in it (requests); what is not known is refused (`strict`) or left out.

    `by_parts`: values inside a value are not encoded with it, but each when its turn comes (`framing.message`).
    """

    def __init__(self, secrets: bool, strict: bool, by_parts: bool = False) -> None:
        self._secrets = secrets
        self._by_parts = by_parts
        self._strict = strict
        self._encoders: dict[type, Code] = {}
        self._decoders: dict[type, Code] = {}

    def encode(self, value: Any) -> dict[str, Any]:
        """A dataclass as an object. Raises TypeError for a token where there must be none."""
        encoded: dict[str, Any] = self._fields(type(value))(value)
        return encoded

    def encode_one_of(self, value: Any) -> dict[str, Any]:
        """A dataclass under the name of its class, as one of several kinds."""
        return {type(value).__name__: self.encode(value)}

    def decode(self, kind: type, data: Any, place: str = "", **known: Any) -> Any:
        """The value of an object; `known` are fields that are not on the wire. Raises Wrong."""
        code = self._object(kind, known) if known else self._cached(kind)
        try:
            return code(data)
        except Wrong as wrong:
            raise wrong.within(place) from None

    def decode_one_of(self, kinds: tuple[type, ...], data: Any, place: str = "") -> Any:
        """The value under the name of its class. Raises Wrong."""
        by_name = {kind.__name__: kind for kind in kinds}
        try:
            name = _only_member(data)
        except Wrong as wrong:
            raise wrong.within(place) from None
        if name not in by_name:
            raise Wrong(place, f"expected one of {', '.join(by_name)}")
        return self.decode(by_name[name], data[name], f"{place}.{name}")

    # -- to JSON -----------------------------------------------------------------------------------------------------
    def _fields(self, kind: type) -> Code:
        found = self._encoders.get(kind)
        if found is None:
            found = self._encoders[kind] = self._make_encoder(kind)
        return found

    def _make_encoder(self, kind: type) -> Code:
        """Compiled from source, as dataclasses do it: a loop over fields takes twice as long, and a host has many functions."""
        lines = ["def encode(value):", " out = {}"]
        names: dict[str, Any] = {}
        for number, (field, shape) in enumerate(shapes(kind)):
            default, code = _default(field), self._encoder(shape)
            names[f"default{number}"], names[f"code{number}"] = default, code
            usual = "False" if default is dataclasses.MISSING else f"one is default{number} or one == default{number}"
            made = "one" if code is None else f"code{number}(one)"
            lines += [f" one = value.{field.name}", f" if not ({usual}): out[{called(field.name, shape)!r}] = {made}"]
        exec("\n".join([*lines, " return out"]), names)  # of names of fields only
        encode: Code = names["encode"]
        return encode

    def _encoder(self, shape: Shape) -> Code | None:
        """What makes JSON of it; None where it is JSON as it stands."""
        name, inner = shape.name, shape.inner
        if name in _PLAIN:
            return None
        if name == "float":
            return nanoseconds
        if name == "Token":
            return self._encode_token
        if name == "range":
            return lambda value: [value.start, value.stop]
        if name == "optional":
            code = self._encoder(inner[0])
            return None if code is None else _unless_none(code)
        if name == "list" or name == "set":
            code, order = self._encoder(inner[0]), sorted if name == "set" else list
            return order if code is None else _each(code, order)
        if name == "row":
            codes = [self._encoder(one) or _as_it_is for one in inner]
            return lambda value: [code(one) for code, one in zip(codes, value)]
        if name == "dict":
            member = self._encoder(inner[1]) or _as_it_is
            return lambda value: {str(key): member(one) for key, one in value.items()}
        if name == "either":
            return lambda value: None if value is None else self._encode_either(shape, value)
        if issubclass(shape.kind, enum.Enum):
            return lambda value: value.name
        if self._by_parts:
            return None
        return lambda value: self._fields(shape.kind)(value)

    def _encode_token(self, value: Token) -> str:
        if not self._secrets:
            raise TypeError("a token in a reply")
        return value.reveal_text()

    def _encode_either(self, shape: Shape, value: Any) -> dict[str, Any]:
        for one in shape.inner:
            if isinstance(value, one.kind):
                return {one.tag: (self._encoder(one) or _as_it_is)(value)}
        raise TypeError(f"{type(value).__name__} is none of {', '.join(one.tag for one in shape.inner)}")

    # -- from JSON ---------------------------------------------------------------------------------------------------
    def _object(self, kind: type, known: Mapping[str, Any] | None = None) -> Code:
        found = shapes(kind)
        fields = {called(field.name, shape): (field.name, self._decoder(shape)) for field, shape in found}
        needed = {called(field.name, shape) for field, shape in found if _default(field) is dataclasses.MISSING}

        def decode(data: Any) -> Any:
            if not isinstance(data, dict):
                raise Wrong("", "expected an object")
            values = dict(known) if known else {}
            for name, one in data.items():
                if name in fields:
                    field, code = fields[name]
                    try:
                        values[field] = code(one)
                    except Wrong as wrong:
                        raise wrong.within(f".{name}") from None
                elif self._strict:
                    raise Wrong("", f"there is no {printable(str(name), 40)} in it")
            if not needed <= data.keys():
                raise Wrong("", f"{next(name for name in fields if name in needed and name not in data)} is missing")
            return kind(**values)

        return decode

    def _decoder(self, shape: Shape) -> Code:
        name, inner = shape.name, shape.inner
        if name == "str":
            return self._text
        if name in _SIMPLE:
            return _SIMPLE[name]
        if name == "range":
            return lambda value: range(*map(_integer, _array(value, 2)))
        if name == "optional":
            return _unless_none(self._decoder(inner[0]))
        if name == "list" or name == "set":
            code, made = self._decoder(inner[0]), frozenset if name == "set" else tuple
            return lambda value: made([code(one) for one in _array(value)])
        if name == "row":
            codes = [self._decoder(one) for one in inner]
            return lambda value: tuple([code(one) for code, one in zip(codes, _array(value, len(codes)))])
        if name == "dict":
            return self._members(_KEYS[inner[0].name], self._decoder(inner[1]))
        if name == "either":
            return lambda value: self._decode_either(shape, value)
        if issubclass(shape.kind, enum.Enum):
            return _names(shape.kind)
        return lambda value: self._cached(shape.kind)(value)

    def _members(self, key: Callable[[str], Any], code: Code) -> Code:
        def decode(value: Any) -> dict[Any, Any]:
            members = {}
            for name, one in _demand(value, dict, "an object").items():
                called = key(self._text(name))
                try:
                    members[called] = code(one)
                except Wrong as wrong:
                    raise wrong.within(f".{printable(name, 40)}") from None
            return members

        return decode

    def _cached(self, kind: type) -> Code:
        found = self._decoders.get(kind)
        if found is None:
            found = self._decoders[kind] = self._object(kind)
        return found

    def _text(self, value: Any) -> str:
        """A text; of a reply, whoever sent it, one that may be shown."""
        if isinstance(value, str) and (self._strict or value.isprintable()):
            return value
        text: str = _demand(value, str, "a text")
        return "\n".join(_shown(line) for line in text.split("\n"))

    def _decode_either(self, shape: Shape, value: Any) -> Any:
        if value is None and shape.nullable:
            return None
        tag = _only_member(value)
        for one in shape.inner:
            if one.tag == tag:
                try:
                    return self._decoder(one)(value[tag])
                except Wrong as wrong:
                    raise wrong.within(f".{tag}") from None
        raise Wrong("", f"expected one of {', '.join(one.tag for one in shape.inner)}")


#: Of requests, and of replies: the second are read from whatever agent is there, which may be newer.
REQUESTS = Coder(secrets=True, strict=True)
REPLIES = Coder(secrets=False, strict=False)
#: Of replies that are large, so that what makes JSON of them has one part at a time, not all of them beside their bytes.
PARTS = Coder(secrets=False, strict=False, by_parts=True)


# -- shapes ----------------------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Shape:
    """What an annotation means: a plain kind, a class, or something made of others."""

    name: str
    kind: type = object
    inner: tuple[Shape, ...] = ()
    nullable: bool = False

    @property
    def tag(self) -> str:
        """What it is called where there are several kinds."""
        return {"row": "list", "set": "list"}.get(self.name, self.name)


def shapes(kind: type) -> tuple[tuple[dataclasses.Field[Any], Shape], ...]:
    """The fields of a value class that are on the wire."""
    return _shapes(kind)


@cache
def _shapes(kind: type) -> tuple[tuple[dataclasses.Field[Any], Shape], ...]:
    module = sys.modules[kind.__module__]
    return tuple(
        (field, _shape(ast.parse(str(field.type), mode="eval").body, vars(module)))
        for field in dataclasses.fields(kind)
        if (kind.__name__, field.name) not in OMITTED
    )


def _shape(node: ast.expr, names: Mapping[str, Any]) -> Shape:
    options = _options(node)
    nullable = any(isinstance(one, ast.Constant) and one.value is None for one in options)
    found = [_single(one, names) for one in options if not (isinstance(one, ast.Constant) and one.value is None)]
    if len(found) > 1:
        return Shape("either", inner=tuple(found), nullable=nullable)
    return Shape("optional", inner=(found[0],)) if nullable else found[0]


def _options(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_options(node.left), *_options(node.right)]
    return [node]


def _single(node: ast.expr, names: Mapping[str, Any]) -> Shape:
    if isinstance(node, ast.Name):
        return _named(node.id, names)
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        raise TypeError(f"no such annotation is on the wire: {ast.dump(node)}")
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    outer = node.value.id
    if outer == "dict":
        return Shape("dict", dict, tuple(_shape(part, names) for part in parts))
    if outer == "frozenset":
        return Shape("set", frozenset, (_shape(parts[0], names),))
    if outer == "tuple" and isinstance(parts[-1], ast.Constant):
        return Shape("list", tuple, (_shape(parts[0], names),))
    if outer == "tuple":
        return Shape("row", tuple, tuple(_shape(part, names) for part in parts))
    raise TypeError(f"no such annotation is on the wire: {outer}[...]")


def _named(name: str, names: Mapping[str, Any]) -> Shape:
    if name in _BUILTIN:
        return Shape(name, _BUILTIN[name])
    found = names.get(name)
    if found is None and name in _ELSEWHERE:
        found = getattr(importlib.import_module(_ELSEWHERE[name]), name)
    if not isinstance(found, type):
        raise TypeError(f"no class on the wire is called {name}")
    return Shape("Token" if found is Token else name, found)


_BUILTIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "float": float, "range": range}
_PLAIN = frozenset({"str", "int", "bool", "None"})


def called(name: str, shape: Shape) -> str:
    """What a field is called on the wire."""
    is_time = shape.name == "float" or (shape.name == "optional" and shape.inner[0].name == "float")
    return f"{name}_ns" if is_time else name


def nanoseconds(seconds: float) -> int:
    """As an integer, from which the same number of seconds comes back."""
    whole = int(seconds)
    return whole * _UNITS + round((seconds - whole) * _UNITS)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _shown(line: str) -> str:
    """Foreign text as it may be shown, with what stands at its end."""
    end = len(line) - len(line.rstrip(" "))
    return printable(line, len(line) * 10) + " " * end


# -- what may stand in JSON ------------------------------------------------------------------------------------------------
def _as_it_is(value: Any) -> Any:
    return value


def _unless_none(code: Code) -> Code:
    return lambda value: None if value is None else code(value)


def _each(code: Code, order: Callable[[Any], list[Any]]) -> Code:
    return lambda value: [code(one) for one in order(value)]


def _demand(value: Any, kind: type, word: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Wrong("", f"expected {word}")
    if isinstance(value, int) and not fits(value):
        raise Wrong("", f"expected {word} of at most 64 bits")
    return value


def _integer(value: Any) -> int:
    if type(value) is int and -(2**63) <= value < 2**64:  # most are, and there are many
        return value
    number: int = _demand(value, int, "a number")
    return number


def fits(number: int) -> bool:
    """Whether a number has 64 bits at most, as everything has that the kernel and clocks tell."""
    return -(2**63) <= number < 2**64


def _array(value: Any, length: int | None = None) -> list[Any]:
    found: list[Any] = _demand(value, list, "an array")
    if length is not None and len(found) != length:
        raise Wrong("", f"expected an array of {length}")
    return found


def _names(kind: type[enum.Enum]) -> Code:
    members = dict(kind.__members__)

    def decode(value: Any) -> enum.Enum:
        name = _demand(value, str, "a name")
        if name not in members:
            raise Wrong("", f"expected one of {', '.join(members)}")
        return members[name]

    return decode


def _only_member(data: Any) -> str:
    if not isinstance(data, dict) or len(data) != 1:
        raise Wrong("", "expected an object with one member, which says the kind")
    return str(next(iter(data)))


def _token(value: Any) -> Token:
    try:
        return Token.parse(_demand(value, str, "a UUID"))
    except TokenError as error:
        raise Wrong("", str(error)) from None


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Wrong("", "expected numbers as names")
    return int(text)


_SIMPLE: dict[str, Code] = {
    "int": _integer,
    "bool": lambda value: _demand(value, bool, "true or false"),
    "float": lambda value: _demand(value, int, "nanoseconds") / _UNITS,
    "Token": _token,
}
_KEYS: dict[str, Callable[[str], Any]] = {"str": _as_it_is, "int": _number}
