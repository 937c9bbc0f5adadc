"""Data flows through the package in one direction: a room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

import llm_from_scratch

ROOT = Path(llm_from_scratch.__file__).parent
# From the ground up. Rooms on one line may not import each other.
FLOORS = [
    ["files", "kernels"],
    ["autograd", "tokenizers"],
    ["functional", "data"],
    ["layers"],
    ["quantization", "generation"],
    ["models"],
    ["families"],
    ["checkpoints"],
    ["training"],
    ["recipes"],
    ["grading", "bench", "zoo"],
    ["book"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def _imports(source: str, package: list[str]) -> set[str]:
    """The rooms that a module in `package` (its path below the root) imports from."""
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            targets = [base + (node.module or "").split(".")] if node.module else [[*base, a.name] for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = [(node.module or "").split(".")]
            if targets[0] == ["llm_from_scratch"]:
                targets = [["llm_from_scratch", alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        rooms |= {t[1] for t in targets if len(t) > 1 and t[0] == "llm_from_scratch"}
    return rooms


MODULES = sorted(path.relative_to(ROOT) for path in ROOT.glob("*/**/*.py"))


def test_every_room_has_a_floor():
    rooms = {path.parts[0] for path in MODULES}
    assert rooms <= FLOOR.keys(), f"say in FLOORS where these stand: {rooms - FLOOR.keys()}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_downwards(module):
    room = module.parts[0]
    package = ["llm_from_scratch", *module.parts[:-1]]
    upward = {
        other
        for other in _imports((ROOT / module).read_text(encoding="utf-8"), package)
        if other != room and FLOOR.get(other, -1) >= FLOOR[room]
    }
    assert not upward, f"{module} imports from {upward}, which do not stand below {room}"


def test_the_check_sees_every_form_of_import():
    package = ["llm_from_scratch", "layers"]
    for line in (
        "from ..models import spec",
        "from .. import models",
        "from ..models.spec import ModelSpec",
        "import llm_from_scratch.models",
        "from llm_from_scratch import models",
        "def f():\n    from llm_from_scratch.models import spec",
    ):
        assert _imports(line, package) == {"models"}, line
    assert _imports("from .module import Module\nimport numpy", package) == {"layers"}
