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
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level == 1 and not node.module:
                continue  # from . import module
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
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
    assert bound_names("from . import x") == set()
