"""The lower setting: chosen from the flags, in effect in a child, and compiled into a folder of its own."""

import json
import os
import platform
import subprocess
import sys

import pytest

from llm_from_scratch.kernels import processor
from llm_from_scratch.kernels.processor import CannotLowerError, Setting, below

GROUPS = ["X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"]  # NumPy 2.4
SINGLE = "SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX AVX512_ICL".split()  # NumPy 2.0
ZEN4, ZEN3 = {"avx", "avx2", "fma", "avx512f"}, {"avx", "avx2", "fma"}


@pytest.mark.parametrize(
    ("flags", "dispatched", "kind", "off", "cpu"),
    [
        (ZEN4, GROUPS, "AVX2", ("X86_V4", "AVX512_ICL", "AVX512_SPR"), "haswell"),
        (ZEN4, SINGLE, "AVX2", ("AVX512F", "AVX512CD", "AVX512_SKX", "AVX512_ICL"), "haswell"),
        (ZEN3, GROUPS[:1], "AVX", ("X86_V3",), "ivybridge"),
        (ZEN3, SINGLE[:8], "AVX", ("FMA3", "AVX2"), "ivybridge"),
    ],
)
def test_one_kind_below(flags, dispatched, kind, off, cpu):
    setting = below("x86_64", flags, dispatched)
    assert (setting.kind, setting.numpy_off, setting.numba_cpu) == (kind, off, cpu)


@pytest.mark.parametrize(("machine", "flags"), [("aarch64", {"neon"}), ("x86_64", {"sse4.2"})])
def test_a_machine_that_cannot_be_lowered_says_why(machine, flags):
    with pytest.raises(CannotLowerError, match="x86-64 only|nothing is left"):
        below(machine, flags, [])


@pytest.fixture
def setting():
    try:
        return processor.lower()
    except CannotLowerError as reason:
        pytest.skip(str(reason))


def test_the_setting_takes_effect(setting):
    found = processor.verify(setting)
    assert found["numba"][0] == setting.numba_cpu and not set(found["numpy"]) & set(setting.numpy_off)


def test_the_setting_of_an_avx2_machine_takes_effect(setting):
    """Also where the machine is more than that: two kinds down."""
    lower = below(platform.machine(), {"avx2"}, [*setting.numpy_off, "X86_V3", "AVX2"])
    found = processor.verify(lower)
    assert found["numba"][0] == lower.numba_cpu and not set(found["numpy"]) & {"X86_V3", "AVX2"}


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"NPY_DISABLE_CPU_FEATURES": "X86-V4"}, "NumPy still uses .'"),  # a name that it does not know
        ({"NUMBA_CPU_NAME": ""}, "numba compiles for"),
        ({"NUMBA_CPU_FEATURES": "+avx512f"}, "numba compiles for"),
    ],
)
def test_a_setting_without_effect_is_caught(setting, mistake, words):
    class Mistaken(Setting):
        def environment(self):
            return {**super().environment(), **mistake}

    with pytest.raises(RuntimeError, match=words):
        processor.verify(Mistaken(**vars(setting)))


def test_the_kernels_of_the_setting_have_a_folder_of_their_own(setting):
    code = (
        "from llm_from_scratch.kernels.dispatch import cache_directory as d; import json; print(json.dumps(d('a.py')))"
    )
    folders = set()
    for changes in ({}, {"NUMBA_CPU_NAME": setting.numba_cpu}, setting.environment()):
        child = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **changes}, capture_output=True, text=True, check=True
        )
        folders.add(json.loads(child.stdout))
    assert len(folders) == 3
