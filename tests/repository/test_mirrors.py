"""Tests mirror modules: what tests `layers/mixture.py` is called `tests/layers/test_mixture.py`.

Of a module with several files of tests each adds an aspect: `test_decoder_inside.py`. A room's `__init__.py` is tested
by `test_<room>.py`. What goes across the modules of a room is listed here, with what it is about.
"""

from pathlib import Path

import pytest

import llm_from_scratch

PACKAGE = Path(llm_from_scratch.__file__).parent
TESTS = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
# What they test is no part of the package, or they hold no tests.
BESIDE = {"chapters", "exercises", "helpers", "repository"}

ACROSS = {
    "checkpoints": {
        "test_ends": "what ends and begins a text, whatever file and command says it",
        "test_exports": "what is saved, opened by other libraries and held to the formats' rules",
    },
    "cli": {
        "test_runs": "quickstart, train and generate, one after the other, to the files that they leave",
        "test_output": "what all commands print, under encodings and to readers that go away",
    },
    "data": {"test_verdicts": "rules of curation against datatrove's filters"},
    "evaluation": {"test_parity": "likelihoods against lm-eval's"},
    "families": {
        "test_parity": "all families against the transformers library",
        "test_author_references": "families against their authors' own code",
        "test_batch_invariance": "a row's logits, to the bit, whatever is computed beside it",
        "test_invariants": "what holds for any family",
    },
    "functional": {"test_torch_reference": "many functions against PyTorch, frozen"},
    "grading": {
        "test_command": "the grader from the command that a learner types to the exit code",
        "test_withstands": "work that changes what judges it",
    },
    "kernels": {
        "test_kernel_twins": "every compiled loop against its twin",
        "test_kernel_shapes": "no compiled loop reads beside its arrays",
        "test_kernel_numbers": "long sums, masks, subnormal numbers, wrong ids",
    },
    "recipes": {"test_imitation": "what is particular to the presets that learn from somebody's answers"},
    "book": {"test_helpers": "what chapters print and draw with"},
}


def modules(room: Path) -> set[str]:
    """The names by which a room's modules are tested, those of folders inside it included."""
    names = set()
    for path in room.rglob("*"):
        if path.suffix == ".py" or (path / "__init__.py").exists():
            names.add(path.stem.strip("_"))
    return names - {"init"}


def strays(room: Path, tests: Path, across: set[str]) -> set[str]:
    """The test files of a room that belong to no module of it and are not listed; and what is listed for nothing."""
    known = modules(room)
    files = {path.stem for path in tests.rglob("test_*.py")}
    own = {file for file in files if any(f"{file}_".startswith(f"test_{name}_") for name in known)}
    own |= {f"test_{room.name}"} & files
    return (files - own - across) | (across - (files - own))


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_tests_are_called_as_its_modules(room):
    assert strays(PACKAGE / room, TESTS / room, set(ACROSS.get(room, ()))) == set()


def test_every_folder_of_tests_is_a_rooms():
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - BESIDE <= set(ROOMS) and ACROSS.keys() <= set(ROOMS)
    assert set(ROOMS) - folders == set(), "rooms without a single test"


def test_the_check_sees_what_stands_wrong(tmp_path):
    room, tests = tmp_path / "wall", tmp_path / "tests"
    for name in ("wall/__init__", "wall/brick", "wall/_mortar", "wall/arch/__init__", "wall/arch/keystone"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").write_text("", encoding="utf-8")
    tests.mkdir()
    fitting = ("brick", "brick_red", "mortar", "arch", "keystone", "wall")
    for name in (*fitting, "bricks", "tile", "init", "wall_high"):
        (tests / f"test_{name}.py").write_text("", encoding="utf-8")
    assert strays(room, tests, set()) == {"test_bricks", "test_tile", "test_init", "test_wall_high"}
    assert strays(room, tests, {"test_tile"}) == {"test_bricks", "test_init", "test_wall_high"}
    rest = {"test_bricks", "test_tile", "test_init", "test_wall_high"}
    assert strays(room, tests, {*rest, "test_brick", "test_gone"}) == {"test_brick", "test_gone"}
