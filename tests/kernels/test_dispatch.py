"""Choosing between twin and compiled version, and the cache of compiled code on disk."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import llm_from_scratch
from llm_from_scratch.kernels import activations, dispatch, optimizers

COMPILED = Path(llm_from_scratch.__file__).parent / "kernels" / "compiled"
PACKAGE_PARENT = str(Path(llm_from_scratch.__file__).parents[1])


def _python(code, **environment):
    # Whatever numba is told where these tests run: they look at where the cache is, and how often it is used.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment = {**inherited, "PYTHONPATH": PACKAGE_PARENT, **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)


def test_importing_and_the_numpy_mode_do_not_touch_numba():
    code = (
        "import sys, numpy as np, llm_from_scratch\n"
        "from llm_from_scratch.kernels import activations, losses, optimizers\n"
        "assert 'numba' not in sys.modules\n"
        "print(activations.silu(np.ones(2, np.float32)).dtype, 'numba' in sys.modules)"
    )
    done = _python(code, LLM_FROM_SCRATCH_KERNELS="numpy")
    assert done.stdout.split() == ["float32", "False"], done.stderr


def test_an_unknown_choice_is_an_error():
    code = "import numpy as np\nfrom llm_from_scratch.kernels import activations\nactivations.silu(np.ones(2))"
    done = _python(code, LLM_FROM_SCRATCH_KERNELS="cuda")
    assert "must be 'numba' or 'numpy', not 'cuda'" in done.stderr


def test_a_kernel_keeps_the_twins_name_and_docstring():
    assert activations.silu.__name__ == "silu"
    assert "x sigmoid(x)" in activations.silu.__doc__
    assert activations.silu.__wrapped__(np.zeros(1)) == 0
    assert repr(activations.silu) == "<kernel llm_from_scratch.kernels.activations.silu>"


def test_dtypes_are_checked():
    x = np.ones(3, np.float32)
    with pytest.raises(TypeError, match="float32 or float64, not float16"):
        activations.silu(x.astype(np.float16))
    with pytest.raises(TypeError, match="one dtype for all its arrays, got float32 and float64"):
        activations.swiglu(x, x.astype(np.float64))


def test_what_is_changed_in_place_must_not_need_a_copy():
    flat = np.ones(8)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.0, "step": 1}
    with pytest.raises(ValueError, match="changes 'param' in place"):
        optimizers.adamw(flat[::2], flat[:4].copy(), np.zeros(4), np.zeros(4), **settings)
    frozen = np.ones(4)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="changes 'm' in place"):
        optimizers.adamw(np.ones(4), np.ones(4), frozen, np.zeros(4), **settings)
    optimizers.adamw(flat[2:6], np.ones(4), np.zeros(4), np.zeros(4), **settings)  # a slice is fine
    assert (flat != 1).tolist() == [False, False, True, True, True, True, False, False]


def test_another_byte_order_is_converted_before_the_loop():
    for dtype in (np.float32, np.float64):
        x = np.linspace(-2, 2, 12).astype(dtype).reshape(3, 4)
        other = x.astype(x.dtype.newbyteorder(">"))
        padded = np.zeros(other.nbytes + 1, np.uint8)[1:].view(other.dtype).reshape(x.shape)  # unaligned, too
        padded[...] = other
        padded.flags.writeable = False
        for given in (other, padded, np.asfortranarray(other), np.broadcast_to(other[:1], x.shape)):
            wanted = activations.silu(given.astype(dtype, order="C"))
            got = activations.silu(given)
            assert got.dtype == dtype and got.dtype.isnative and got.tobytes() == wanted.tobytes()
        assert activations.swiglu(x, other).tobytes() == activations.swiglu(x, x).tobytes()
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.0, "step": 1}
    with pytest.raises(ValueError, match="byte order"):
        optimizers.adamw(np.ones(4, ">f8"), np.ones(4), np.zeros(4), np.zeros(4), **settings)


def test_writes_must_name_parameters():
    with pytest.raises(TypeError, match="not parameters"):
        dispatch.kernel(lambda x: x, writes=("y",))


def test_a_kernel_without_an_example_says_so():
    bare = dispatch.Kernel(lambda x: x, (), True)
    with pytest.raises(TypeError, match="has no example"):
        next(bare.examples(np.random.default_rng(0)))


@pytest.mark.parametrize("source", sorted(COMPILED.glob("*.py")), ids=lambda path: path.stem)
def test_compiled_modules_import_only_what_the_cache_key_covers(source):
    """A cache folder is named by a hash of the module, dispatch.py, __init__.py, and all that it imports beside it."""
    shared = {path.stem for path in dispatch._sources(source)}
    plain = {("row_products", 2), ("sharing", 2), ("token_matrices", 2)}  # functions of Python
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = {alias.name for alias in node.names}
            allowed = node.level == 2 and node.module == "dispatch"
            allowed = allowed or (node.level == 1 and (node.module in shared or names <= shared))
            allowed = allowed or (node.module, node.level) in plain
            assert allowed, f"{source.name} line {node.lineno} imports {node.module or names}"


def test_both_versions_have_the_same_functions():
    for name in dispatch.KERNELS:
        topic, function = name.split(".")
        assert (COMPILED / f"{topic}.py").exists()
        if dispatch.backend() == "numba":
            module = importlib.import_module(f"llm_from_scratch.kernels.compiled.{topic}")
            assert callable(getattr(module, function))


CACHE_CODE = (
    "import numpy as np\nfrom llm_from_scratch.kernels import optimizers\n"
    "optimizers.sum_of_squares(np.ones(3, np.float32))\n"
    "from llm_from_scratch.kernels.compiled.optimizers import _sum_of_squares as f\n"
    "print(sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values()), f.stats.cache_path)"
)


@pytest.fixture
def compiled_run(tmp_path):
    if dispatch.backend() == "numpy":
        pytest.skip("the cache holds compiled code, and this run compiles none")

    def run(**environment):
        variables = {"XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
        done = _python(CACHE_CODE, **{**variables, **environment})
        assert done.returncode == 0, done.stderr
        hits, misses, path = done.stdout.split(maxsplit=2)
        return int(hits), int(misses), Path(path.strip())

    return run


def test_compiled_code_is_kept_between_runs(compiled_run, tmp_path):
    hits, misses, path = compiled_run()
    assert (hits, misses) == (0, 1)
    assert path.is_relative_to(tmp_path)
    assert compiled_run() == (1, 0, path)


def test_a_numba_setting_gets_a_folder_of_its_own(compiled_run):
    _, _, plain = compiled_run()
    hits, misses, checked = compiled_run(NUMBA_BOUNDSCHECK="1")
    assert (hits, misses) == (0, 1)
    assert checked.parent != plain.parent


def test_a_cache_that_cannot_be_written_moves_to_the_temporary_folder(compiled_run, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is needed", encoding="utf-8")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"), str(blocked))
    variables.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    _, misses, path = compiled_run(**variables)
    assert misses == 1
    assert path.is_relative_to(temporary)


@pytest.mark.skipif(sys.platform != "linux", reason="folders as the XDG specification names them")
def test_the_cache_is_where_it_always_was_or_where_numba_is_told(compiled_run, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    for variables, base in (
        ({}, tmp_path),
        ({"XDG_CACHE_HOME": ""}, tmp_path / ".cache"),
        ({"NUMBA_CACHE_DIR": elsewhere}, tmp_path / "elsewhere"),
    ):
        assert compiled_run(**variables)[2].parents[1] == base / "llm_from_scratch" / "kernels"


def test_where_no_home_is_known_the_cache_is_temporary(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(dispatch.platformdirs, "user_cache_path", Mock(side_effect=RuntimeError("no home")))
    monkeypatch.setattr(dispatch.tempfile, "gettempdir", lambda: str(tmp_path))
    assert dispatch._writable_base.__wrapped__().parent == tmp_path


def test_numba_is_left_with_the_cache_folder_it_had(compiled_run):
    import numba

    before = numba.config.CACHE_DIR
    dispatch.compiled(lambda x: x, cache=False)
    assert numba.config.CACHE_DIR == before


def test_a_new_version_throws_away_what_was_left_a_month_ago(compiled_run):
    _, _, path = compiled_run()
    base = path.parents[1]
    stale, recent, other = base / "optimizers-0", base / "optimizers-1", base / "norms-0"
    for folder in (stale, recent, other):
        folder.mkdir()
    for folder in (stale, other):
        os.utime(folder, (0, 0))
    compiled_run(NUMBA_BOUNDSCHECK="1")
    assert not stale.exists()
    assert recent.exists() and other.exists() and path.exists()


def test_two_threads_may_meet_at_the_first_call(compiled_run, tmp_path):
    code = (
        "import numpy as np, threading\nfrom llm_from_scratch.kernels import softmax\n"
        "x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)\n"
        "results = [None] * 4\n"
        "def work(i):\n    results[i] = softmax.softmax(x)\n"
        "threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(all((r == results[0]).all() for r in results))"
    )
    done = _python(code, XDG_CACHE_HOME=str(tmp_path), LOCALAPPDATA=str(tmp_path), HOME=str(tmp_path))
    assert done.stdout.strip() == "True", done.stderr
