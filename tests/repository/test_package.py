"""What holds for the repository as a whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import llm_from_scratch as lfs

ROOT = Path(__file__).parents[2]


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    loaded = _run("import llm_from_scratch, sys; print(*sys.modules)").split()
    assert "llm_from_scratch" in loaded
    assert not {"numba", "matplotlib", "jinja2", "regex", "llm_from_scratch.models"} & set(loaded)


def test_the_numpy_twins_never_import_numba():
    code = (
        "import os; os.environ['LLM_FROM_SCRATCH_KERNELS'] = 'numpy'\n"
        "import sys, numpy as np, llm_from_scratch as lfs\n"
        "model = lfs.build('llama', hidden_size=8, intermediate_size=16, num_hidden_layers=1, "
        "num_attention_heads=2, vocab_size=11, seed=0)\n"
        "lfs.accumulate_gradients(model, np.zeros((1, 3), int), np.ones((1, 3), int))\n"
        "print('numba' in sys.modules)"
    )
    assert _run(code) == "False"


@pytest.mark.parametrize("name", lfs.__all__)
def test_every_public_name_is_there(name):
    assert getattr(lfs, name) is not None
    assert name in dir(lfs)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        _ = lfs.transformer


def test_requirements_and_pyproject_are_in_step():
    def names(text: str) -> set[str]:
        return {line.split("#")[0].strip().strip('",') for line in text.splitlines() if line.split("#")[0].strip()}

    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    runtime = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject, re.M | re.S).group(1)
    extras = re.findall(r"^(?:chapters|test|curation|mpi) = \[(.*?)\]", pyproject, re.M)
    declared = names(runtime) | {name for extra in extras for name in names(extra.replace(", ", "\n"))}
    assert declared == names((ROOT / "requirements.txt").read_text(encoding="utf-8"))


def test_no_file_is_too_long_for_one_sitting():
    long = {
        str(path.relative_to(ROOT)): n
        for path in (ROOT / "llm_from_scratch").rglob("*.py")
        if (n := path.read_text(encoding="utf-8").count("\n")) > 350
    }
    assert not long, f"split these: {long}"


def test_the_version_is_told_alike_everywhere():
    told = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)[1]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert lfs.__version__ == told == citation()["version"] == re.search(r"^## (\S+)", changes, re.M)[1]


def citation():
    return yaml.load((ROOT / "CITATION.cff").read_text("utf-8"), Loader=yaml.BaseLoader)  # a version is no float


def test_the_citation_is_one():
    """What the format asks for (version 1.2.0): its required keys, no unknown ones, and their kinds."""
    found = citation()
    assert found["cff-version"] == "1.2.0" and found["type"] == "software"
    assert {"message", "title", "authors", "cff-version"} <= found.keys()
    assert found.keys() <= {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license",
                            "keywords", "date-released", "repository-code", "url", "doi"}  # fmt: skip
    assert found["authors"] and all(author.keys() & {"name", "family-names"} for author in found["authors"])
    assert found["license"] == "MIT" and (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")


def test_the_changelog_names_every_command():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    commands = {path.stem for path in (ROOT / "llm_from_scratch" / "cli").glob("[a-z]*.py")}
    assert commands <= set(re.findall(r"`(\w+)`", changes))
