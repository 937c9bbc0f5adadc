"""Kinds of processors: a child that is told to be a lesser one reports that its libraries are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import llm_from_scratch
from llm_from_scratch.bench import kinds, llamacpp, models
from llm_from_scratch.bench.runner import bench
from llm_from_scratch.kernels import processor

CODE = "import json, numba; from llm_from_scratch.bench import kinds; print(json.dumps(kinds.in_use()))"
NUMPY = {"avx2": ("AVX2",), "avx": ("AVX", "SSE or other")}  # what lies between SSE and AVX2 depends on its version
NUMBA = {"avx2": "AVX2", "avx": "AVX"}
BLAS = {"avx2": ("Haswell", "Zen"), "avx": ("Sandybridge",)}


@pytest.mark.parametrize("kind", ["avx2", "avx"])
def test_every_library_of_a_child_obeys(kind):
    if kind not in [setting.kind.lower() for setting in processor.kinds()]:
        pytest.skip(f"this machine has nothing above {kind}")
    path = str(Path(llm_from_scratch.__file__).parents[1])
    environment = os.environ | kinds.environment(kind) | {"PYTHONPATH": path}
    child = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    found = json.loads(child.stdout)
    assert found["numpy"] in NUMPY[kind] and found["numba"].startswith(f"{NUMBA[kind]} (")
    assert found["blas"] in BLAS[kind], "only OpenBLAS obeys"


def test_as_it_is_nothing_is_set():
    assert kinds.environment(None) == {}


def test_a_kind_that_cannot_be_played_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="cannot run as 'sse9'"):
        bench(["adamw"], kind="sse9")


def test_a_build_of_llama_cpp_for_more_than_the_kind_is_left_out(monkeypatch, tmp_path):
    (tmp_path / "llama_cpp.py").write_text(
        "def llama_print_system_info(): return b'CPU : AVX2 = 1 | AVX512 = 1 | '\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    monkeypatch.setattr(models, "real_file", lambda: tmp_path / "model.gguf")
    for kind in ("avx2", "avx"):
        monkeypatch.setenv(kinds.VARIABLE, kind)
        with pytest.raises(ImportError, match=f"built for more than {kind}: LLAMA_CPP_LIB_PATH"):
            llamacpp.prompt(1)
    sys.modules.pop("llama_cpp", None)


def test_the_machine_is_named():
    machine = kinds.machine()
    assert machine["processor"] and machine["cores"] >= 1 and machine["memory"] > 2**28
