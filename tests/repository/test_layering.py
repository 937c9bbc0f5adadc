"""Data flows through the package in one direction, and the map in CONTRIBUTING.md says which.

A room imports only from rooms below it; nothing imports in a circle, rooms or files, imports inside functions included.
The drawing and the table on that page are the rule: they are read from there, so that they cannot say anything else
than the imports do.
"""

import re
from pathlib import Path

import pytest
from imports import Import, circles, drawn_floors, graph, imports, modules, room, strangers, unreadable

import llm_from_scratch

ROOT = Path(llm_from_scratch.__file__).parent
PAGE = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where things live")[1].split("\n## ")[0]
FLOORS = drawn_floors(re.findall(r"```\n(.*?)```", PAGE, re.S)[0])
STRANGERS = strangers(PAGE)
IMPORTS = imports(ROOT)
ROOMS = {room(name) for name in modules(ROOT)} - {"__init__", "__main__"}

# Imports inside functions, and why they are there.
LATE = {"cli": "a command loads what it needs when it is called, so that --help and mistyped words answer at once"}
# Imports by a name that is only known when the program runs.
AT_RUN_TIME = {
    "__init__": "the public names, loaded when first used",
    "public_names": "the public names of rooms, loaded when first used: the fit of scaling needs SciPy",
    "kernels.dispatch": "the compiled twin of a kernel, at its first call: without numba none is ever imported",
    "families": "a family is found by its file being there",
    "cli": "the module of the command that was typed",
    "grading.wrongs": "the files of exercises, which are no part of the package",
    "grading.child": "the learner's file",
}


def test_every_room_stands_in_the_drawing_and_in_the_table():
    assert FLOORS.keys() == ROOMS, "the drawing in CONTRIBUTING.md and the folders of the package differ"
    assert STRANGERS.keys() == ROOMS, "the table in CONTRIBUTING.md and the folders of the package differ"
    assert set().union(*STRANGERS.values()) <= ROOMS


def upward(arrows: list[Import], floors: dict[str, int]) -> list[str]:
    """The imports from a room that does not stand below. Whatever starts the package stands above all rooms."""
    above = len(floors)
    return [
        str(arrow)
        for arrow in arrows
        if arrow.rooms[0] != arrow.rooms[1] and floors.get(arrow.rooms[1], -1) >= floors.get(arrow.rooms[0], above)
    ]


def strange(arrows: list[Import], known: dict[str, set[str]]) -> list[str]:
    return [str(arrow) for arrow in arrows if arrow.rooms[1] in known.get(arrow.rooms[0], ())]


def test_imports_point_downwards():
    assert upward(IMPORTS, FLOORS) == []


def test_no_room_imports_what_it_may_not_know():
    assert strange(IMPORTS, STRANGERS) == []


def test_no_circle_between_rooms():
    assert circles(graph(arrow.rooms for arrow in IMPORTS)) == []


def test_no_circle_between_files():
    assert circles(graph((arrow.importer, arrow.imported) for arrow in IMPORTS)) == []


def test_imports_inside_functions_have_a_reason():
    assert [str(arrow) for arrow in IMPORTS if arrow.late and arrow.rooms[0] not in LATE] == []


def test_imports_by_names_known_at_run_time_have_a_reason():
    assert unreadable(ROOT) == AT_RUN_TIME.keys()


@pytest.fixture
def house(tmp_path):
    """A package of three floors in order, as {file: source}; a test writes its mistake into it."""
    files = {
        "__init__": "",
        "checks": "import numpy",
        "ground/__init__": "from .stone import weight",
        "ground/stone": "from ..checks import check",
        "ground/sand": "from . import stone\nfrom ..checks import check",
        "wall/__init__": "",
        "wall/brick": "import house.ground.stone\nfrom .. import ground as G",
        "roof/__init__": "",
        "roof/tile": "from house.wall import brick\nfrom ..ground import weight",
    }

    def build(**changed):
        folder = tmp_path / "house"
        for name, source in {**files, **{name.replace("__", "/"): text for name, text in changed.items()}}.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return folder

    return build


DRAWING = """
        roof
        wall
       ground
      checks.py
"""


def _problems(folder, drawing=DRAWING, known=None):
    arrows = imports(folder)
    return (
        upward(arrows, drawn_floors(drawing))
        + strange(arrows, known or {})
        + [" -> ".join(way) for way in circles(graph(arrow.rooms for arrow in arrows))]
        + [" -> ".join(way) for way in circles(graph((a.importer, a.imported) for a in arrows))]
        + [str(arrow) for arrow in arrows if arrow.late]
    )


def test_a_house_in_order_has_no_problems(house):
    assert _problems(house()) == []
    assert {str(arrow) for arrow in imports(house())} == {
        "ground imports ground.stone",
        "ground.stone imports checks",
        "ground.sand imports ground.stone",
        "ground.sand imports checks",
        "wall.brick imports ground.stone",
        "wall.brick imports ground",
        "roof.tile imports wall.brick",
        "roof.tile imports ground",
    }


@pytest.mark.parametrize(
    "line",
    [
        "from ..roof import tile",
        "from .. import roof",
        "from ..roof.tile import colour",
        "import house.roof",
        "import numpy, house.roof.tile as T",
        "from house import roof",
        "if TYPE_CHECKING:\n    from ..roof import tile",
    ],
)
def test_every_form_of_an_upward_import_is_seen(house, line):
    assert [p for p in _problems(house(wall__brick=line)) if p.startswith("wall.brick imports roof")]


def test_each_check_can_fail(house):
    late = "def f():\n    from .stone import weight"
    assert "ground.stone imports roof.tile inside a function" in _problems(
        house(ground__stone="def f():\n    from ..roof import tile")
    )
    assert "ground -> wall -> ground" in _problems(house(ground__stone="from ..wall import brick"))
    assert _problems(house(ground__stone="from .sand import grain")) == ["ground.sand -> ground.stone -> ground.sand"]
    assert _problems(house(ground__stone="from . import weight")) == ["ground -> ground.stone -> ground"]
    assert _problems(house(ground__sand=late, ground__stone="from .sand import grain")) == [
        "ground.sand -> ground.stone -> ground.sand",
        "ground.sand imports ground.stone inside a function",
    ]
    assert _problems(house(), known={"roof": {"ground"}}) == ["roof.tile imports ground"]
    beside = DRAWING.replace("wall", "").replace("roof", "roof wall")
    assert _problems(house(), beside) == ["roof.tile imports wall.brick"]


def test_a_longer_circle_is_told_by_its_shortest_way():
    arrows = graph([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("c", "a"), ("d", "e"), ("x", "y"), ("y", "x")])
    assert circles(arrows) == [["a", "b", "c", "a"], ["x", "y", "x"]]
    assert circles(graph([("a", "b"), ("a", "c"), ("b", "c")])) == []


@pytest.mark.parametrize(
    "line",
    ["importlib.import_module(name)", "from importlib import import_module as f", "__import__(name)"],
)
def test_imports_at_run_time_are_seen(house, line):
    assert unreadable(house(wall__brick=line)) == {"wall.brick"}
    assert unreadable(house(wall__brick="")) == set()


def test_a_drawing_is_read_from_the_ground_up():
    assert drawn_floors(DRAWING) == {"checks": 0, "ground": 1, "wall": 2, "roof": 3}
    with pytest.raises(ValueError, match="drawn twice: .*wall"):
        drawn_floors("roof wall\nwall")
    page = "| room | what | may not know |\n|---|---|---|\n| `roof/` | tiles | `ground` and `checks` |\n| `wall/` | | |"
    assert strangers(page) == {"roof": {"ground", "checks"}, "wall": set()}
