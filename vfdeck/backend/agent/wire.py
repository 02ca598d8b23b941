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

Code = Callable[[Any, str], Any]


class Wrong(ValueError):
    """JSON that is not the value that was expected; says where and what, without repeating it."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place or 'the message'}: {what}")
        self.place = place


class Coder:
    """One direction of one protocol: `secrets` may be in it (requests); what is not known is refused (`strict`) or left out."""

    def __init__(self, secrets: bool, strict: bool) -> None:
        self._secrets = secrets
        self._strict = strict
        self._encoders: dict[str, Code] = {}
        self._decoders: dict[str, Code] = {}

    def encode(self, value: Any) -> dict[str, Any]:
        """A dataclass as an object. Raises TypeError for a token where there must be none."""
        encoded: dict[str, Any] = self._fields(type(value))(value, "")
        return encoded

    def encode_one_of(self, value: Any) -> dict[str, Any]:
        """A dataclass under the name of its class, as one of several kinds."""
        return {type(value).__name__: self.encode(value)}

    def decode(self, kind: type, data: Any, place: str = "", **known: Any) -> Any:
        """The value of an object; `known` are fields that are not on the wire. Raises Wrong."""
        return self._object(kind, known)(data, place)

    def decode_one_of(self, kinds: tuple[type, ...], data: Any, place: str = "") -> Any:
        """The value under the name of its class. Raises Wrong."""
        by_name = {kind.__name__: kind for kind in kinds}
        name = _only_member(data, place)
        if name not in by_name:
            raise Wrong(place, f"expected one of {', '.join(by_name)}")
        return self.decode(by_name[name], data[name], f"{place}.{name}")

    # -- to JSON -----------------------------------------------------------------------------------------------------
    def _fields(self, kind: type) -> Code:
        found = self._encoders.get(kind.__qualname__ + kind.__module__)
        if found is None:
            found = self._encoders[kind.__qualname__ + kind.__module__] = self._make_encoder(kind)
        return found

    def _make_encoder(self, kind: type) -> Code:
        plan: list[tuple[str, str, Any, Code]] = []

        def encode(value: Any, place: str) -> dict[str, Any]:
            out = {}
            for name, called, default, code in plan:
                field = getattr(value, name)
                if field is not default and field != default:
                    out[called] = code(field, name)
            return out

        for field, shape in shapes(kind):
            plan.append((field.name, called(field.name, shape), _default(field), self._encoder(shape)))
        return encode

    def _encoder(self, shape: Shape) -> Code:
        name, inner = shape.name, shape.inner
        if name in ("str", "int", "bool", "None"):
            return lambda value, place: value
        if name == "float":
            return lambda value, place: nanoseconds(value)
        if name == "Token":
            return self._encode_token
        if name == "range":
            return lambda value, place: [value.start, value.stop]
        if name == "optional":
            code = self._encoder(inner[0])
            return lambda value, place: None if value is None else code(value, place)
        if name == "list" or name == "set":
            code = self._encoder(inner[0])
            return lambda value, place: [code(one, place) for one in (sorted(value) if name == "set" else value)]
        if name == "row":
            codes = [self._encoder(one) for one in inner]
            return lambda value, place: [code(one, place) for code, one in zip(codes, value)]
        if name == "dict":
            code = self._encoder(inner[1])
            return lambda value, place: {str(key): code(one, place) for key, one in value.items()}
        if name == "either":
            return lambda value, place: None if value is None else self._encode_either(shape, value)
        if issubclass(shape.kind, enum.Enum):
            return lambda value, place: value.name
        return lambda value, place: self._fields(shape.kind)(value, place)

    def _encode_token(self, value: Token, place: str) -> str:
        if not self._secrets:
            raise TypeError("a token in a reply")
        return value.reveal_text()

    def _encode_either(self, shape: Shape, value: Any) -> dict[str, Any]:
        for one in shape.inner:
            if isinstance(value, one.kind):
                return {one.tag: self._encoder(one)(value, one.tag)}
        raise TypeError(f"{type(value).__name__} is none of {', '.join(one.tag for one in shape.inner)}")

    # -- from JSON ---------------------------------------------------------------------------------------------------
    def _object(self, kind: type, known: Mapping[str, Any] | None = None) -> Code:
        fields = {called(field.name, shape): (field, shape) for field, shape in shapes(kind)}
        codes = {name: self._decoder(shape) for name, (_, shape) in fields.items()}
        needed = [name for name, (field, _) in fields.items() if _default(field) is dataclasses.MISSING]

        def decode(data: Any, place: str) -> Any:
            if not isinstance(data, dict):
                raise Wrong(place, "expected an object")
            values = dict(known or {})
            for name, one in data.items():
                if name in codes:
                    values[fields[name][0].name] = codes[name](one, f"{place}.{name}")
                elif self._strict:
                    raise Wrong(place, f"there is no {printable(str(name), 40)} in it")
            for name in needed:
                if name not in data:
                    raise Wrong(place, f"{name} is missing")
            return kind(**values)

        return decode

    def _decoder(self, shape: Shape) -> Code:
        name, inner = shape.name, shape.inner
        if name in _PLAIN:
            expected, word = _PLAIN[name]
            return self._text if name == "str" else lambda value, place: _demand(value, expected, word, place)
        if name == "float":
            return lambda value, place: _demand(value, int, "nanoseconds", place) / _UNITS
        if name == "Token":
            return _token
        if name == "range":
            return lambda value, place: range(*(_demand(one, int, "a number", place) for one in _array(value, place, 2)))
        if name == "optional":
            code = self._decoder(inner[0])
            return lambda value, place: None if value is None else code(value, place)
        if name == "list" or name == "set":
            code, made = self._decoder(inner[0]), frozenset if name == "set" else tuple
            return lambda value, place: made(code(one, place) for one in _array(value, place))
        if name == "row":
            codes = [self._decoder(one) for one in inner]
            return lambda value, place: tuple(code(one, place) for code, one in zip(codes, _array(value, place, len(codes))))
        if name == "dict":
            key, code = _KEYS[inner[0].name], self._decoder(inner[1])
            return lambda value, place: {
                key(self._text(one, place), place): code(member, f"{place}.{printable(one, 40)}")
                for one, member in _demand(value, dict, "an object", place).items()
            }
        if name == "either":
            return lambda value, place: self._decode_either(shape, value, place)
        if issubclass(shape.kind, enum.Enum):
            return lambda value, place: _member(shape.kind, value, place)
        return lambda value, place: self._cached(shape.kind)(value, place)

    def _cached(self, kind: type) -> Code:
        name = kind.__qualname__ + kind.__module__
        if name not in self._decoders:
            self._decoders[name] = self._object(kind)
        return self._decoders[name]

    def _text(self, value: Any, place: str) -> str:
        """A text; of a reply, whoever sent it, one that may be shown."""
        text: str = _demand(value, str, "a text", place)
        return text if self._strict or text.isprintable() else "\n".join(_shown(line) for line in text.split("\n"))

    def _decode_either(self, shape: Shape, value: Any, place: str) -> Any:
        if value is None and shape.nullable:
            return None
        tag = _only_member(value, place)
        for one in shape.inner:
            if one.tag == tag:
                return self._decoder(one)(value[tag], f"{place}.{tag}")
        raise Wrong(place, f"expected one of {', '.join(one.tag for one in shape.inner)}")


#: Of requests, and of replies: the second are read from whatever agent is there, which may be newer.
REQUESTS = Coder(secrets=True, strict=True)
REPLIES = Coder(secrets=False, strict=False)


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
_PLAIN: dict[str, tuple[type, str]] = {"str": (str, "a text"), "int": (int, "a number"), "bool": (bool, "true or false")}


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
def _demand(value: Any, kind: type, word: str, place: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Wrong(place, f"expected {word}")
    if isinstance(value, int) and not fits(value):
        raise Wrong(place, f"expected {word} of at most 64 bits")
    return value


def fits(number: int) -> bool:
    """Whether a number has 64 bits at most, as everything has that the kernel and clocks tell."""
    return -(2**63) <= number < 2**64


def _array(value: Any, place: str, length: int | None = None) -> list[Any]:
    found: list[Any] = _demand(value, list, "an array", place)
    if length is not None and len(found) != length:
        raise Wrong(place, f"expected an array of {length}")
    return found


def _member(kind: type[enum.Enum], value: Any, place: str) -> enum.Enum:
    name = _demand(value, str, "a name", place)
    if name not in kind.__members__:
        raise Wrong(place, f"expected one of {', '.join(kind.__members__)}")
    return kind.__members__[name]


def _only_member(data: Any, place: str) -> str:
    if not isinstance(data, dict) or len(data) != 1:
        raise Wrong(place, "expected an object with one member, which says the kind")
    return str(next(iter(data)))


def _token(value: Any, place: str) -> Token:
    try:
        return Token.parse(_demand(value, str, "a UUID", place))
    except TokenError as error:
        raise Wrong(place, str(error)) from None


def _number(text: str, place: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Wrong(place, "expected numbers as names")
    return int(text)


_KEYS: dict[str, Callable[[str, str], Any]] = {"str": lambda text, place: text, "int": _number}
