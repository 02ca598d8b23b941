"""The backend is sent to hosts with Python 3.9: what ruff does not see of that, whether or not there is one here to try it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfdeck.backend

BACKEND = Path(vfdeck.backend.__file__).parent
MODULES = sorted(path for path in BACKEND.rglob("*.py") if "sim" not in path.relative_to(BACKEND).parts)


def evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """What Python evaluates, without annotations."""
    yield node
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from evaluated(child)


def is_union(node: ast.AST) -> bool:
    """Whether it is `X | None`, `list[X] | Y` or the like: of two values nobody knows."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and any(map(_is_type, (node.left, node.right)))


def _is_type(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("int", "str", "bytes", "bool", "float", "object")
    if isinstance(node, ast.Constant):
        return node.value is None
    return (
        isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in ("tuple", "list", "dict", "type")
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(BACKEND)))
def test_no_union_is_evaluated(path: Path) -> None:
    found = [node for node in evaluated(ast.parse(path.read_text())) if is_union(node)]
    assert [ast.unparse(node) for node in found] == [], "only annotations may say so; elsewhere Union or Optional"


def test_it_finds_one() -> None:
    code = "A = tuple[int, int | None]\ndef f(x: int | None) -> int | None: return {} | x"
    assert [ast.unparse(node) for node in evaluated(ast.parse(code)) if is_union(node)] == ["int | None"]
