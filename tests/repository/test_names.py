"""A package exports nothing under the name of one of its modules.

`import package.softmax` binds the module to that name in the package: what the name means would then depend on who has
imported what before.
"""

import ast
from pathlib import Path

import pytest

import llm_from_scratch

ROOT = Path(llm_from_scratch.__file__).parent


def bound_names(source: str) -> set[str]:
    """The names that a package's `__init__.py` binds other than by importing a module of its own as such."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
            continue  # what is bound inside is its own affair
        if isinstance(node, ast.ImportFrom) and not (node.level == 1 and not node.module):  # from . import module
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return found


def modules_of(package: Path) -> set[str]:
    """The names of its modules and of the packages in it."""
    inner = {path.parent.name for path in package.glob("*/__init__.py")}
    return {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"} | inner


PACKAGES = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("**/__init__.py") if path.parent != ROOT)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_export_has_the_name_of_a_module(package):
    names = bound_names((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    shared = names & modules_of(ROOT / package)
    assert not shared, f"{package} exports {sorted(shared)}, which are also modules of it: rename the modules"


def test_the_check_sees_every_way_of_binding_a_name():
    for source in (
        "from .a import x",
        "from .a import b as x",
        "from ..other import x",
        "x = 1",
        "def x(): pass",
        "class x: pass",
        "if True:\n    from .a import x",
    ):
        assert "x" in bound_names(source), source
    for source in ("from . import x", "def f():\n    x = 1", "class C:\n    x = 1", "print(x)"):
        assert "x" not in bound_names(source), source
