"""Who imports whom in a package, read from its source: nothing is executed, and no import is overlooked.

Imports inside functions count as well. Those by a name that is only known when the program runs (`import_module`)
cannot be followed; `unreadable` lists the modules that have any, so that each can be asked for its reason.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Graph = Mapping[str, set[str]]
AT_RUN_TIME = {"import_module", "__import__", "exec_module", "run_module", "run_path"}


@dataclass(frozen=True)
class Import:
    """One arrow: a module imports another one, both as "room.file", or "room" for the room's __init__.py."""

    importer: str
    imported: str
    late: bool = False  # inside a function

    @property
    def rooms(self) -> tuple[str, str]:
        return room(self.importer), room(self.imported)

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}{' inside a function' * self.late}"


def room(module: str) -> str:
    """The folder that a module stands in; a file beside the rooms is a room of its own."""
    return module.split(".")[0]


def modules(root: Path) -> dict[str, Path]:
    """{module: its file}. The package's own __init__.py is called "__init__"."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import of one module of the package by another."""
    known = modules(root)
    return [
        Import(name, target, late)
        for name, path in known.items()
        for target, late in sorted(set(_imported(path, root, known)))
        if target != name
    ]


def _imported(path: Path, root: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, bool]]:
    folder = [root.name, *path.relative_to(root).parts[:-1]]
    for node, late in _nodes(ast.parse(path.read_text(encoding="utf-8")), late=False):
        if isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            targets = [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        yield from ((_module(target[1:], known), late) for target in targets if target[0] == root.name)


def _nodes(tree: ast.AST, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        yield node, late
        yield from _nodes(node, late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def _module(parts: list[str], known: Mapping[str, Path]) -> str:
    """The module that `a.b.c` is, or that it is a name of."""
    while parts and ".".join(parts) not in known:
        parts = parts[:-1]
    return ".".join(parts) or "__init__"


def unreadable(root: Path) -> set[str]:
    """The modules that import by names which are only known when they run."""
    found = set()
    for name, path in modules(root).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {getattr(node, field, None) for field in ("id", "attr", "name")}  # f, x.f, `import f`
            if words & AT_RUN_TIME:
                found.add(name)
    return found


def graph(arrows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """{node: where its arrows point}; an arrow from a node to itself is none."""
    found: dict[str, set[str]] = {}
    for start, end in arrows:
        if start != end:
            found.setdefault(start, set()).add(end)
    return found


def circles(arrows: Graph) -> list[list[str]]:
    """The ways round: of nodes that all reach each other, one of the shortest, such as [a, b, a]."""
    found: list[list[str]] = []
    knotted: set[str] = set()
    for start in sorted(arrows):
        if start not in knotted and (way := _way_back(start, arrows)):
            found.append(way)
            knotted |= {node for node in _reach(start, arrows) if start in _reach(node, arrows)}
    return found


def _reach(start: str, arrows: Graph) -> dict[str, str]:
    """{node that arrows lead to: the node before it on a shortest way}."""
    came: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for target in sorted(arrows.get(node, set()) - came.keys()):
            came[target] = node
            waiting.append(target)
    return came


def _way_back(start: str, arrows: Graph) -> list[str]:
    came = _reach(start, arrows)
    if start not in came:
        return []
    way = [start, came[start]]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


def drawn_floors(drawing: str) -> dict[str, int]:
    """{room: its floor}, from lines of rooms with the ground at the bottom; ValueError for a room drawn twice."""
    lines = [line.split() for line in drawing.splitlines() if line.strip()]
    rooms = [name.removesuffix(".py") for line in lines for name in line]
    if twice := {name for name in rooms if rooms.count(name) > 1}:
        raise ValueError(f"drawn twice: {sorted(twice)}")
    return {name.removesuffix(".py"): floor for floor, line in enumerate(reversed(lines)) for name in line}


def strangers(table: str) -> dict[str, set[str]]:
    """{room: rooms it may not know}, from rows `| room | what lives there | rooms |` of a page, names in backticks."""
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    return {re.findall(r"`(\w+)", row[0])[0]: set(re.findall(r"`(\w+)", row[2])) for row in rows}
