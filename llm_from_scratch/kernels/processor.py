"""This machine as a lesser one: NumPy without its widest vector loops, numba compiling for an older processor.

Sixteen sums side by side round otherwise than eight, and training amplifies the difference. So the chapters that train
run a second time under `lower()`, one kind below what the processor's flags say. Names that NumPy or numba does not
know switch nothing off and say nothing: `verify` asks a child whether the setting took effect.

BLAS keeps its kernels. (By hand, OPENBLAS_CORETYPE=Haswell, SandyBridge or Nehalem lowers them as well.)
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

AVX = frozenset("SSE SSE2 SSE3 SSSE3 SSE41 POPCNT SSE42 LAHF CX16 X86_V2 AVX F16C".split())
AVX2 = AVX | frozenset("XOP FMA4 FMA3 BMI BMI2 LZCNT MOVBE AVX2 X86_V3".split())
"""What NumPy calls the features up to a kind: groups (X86_V3) since 2.4, single ones before. All others are above."""


class CannotLowerError(RuntimeError):
    """This machine has no lesser kind to play; the message says why."""


@dataclass(frozen=True)
class Setting:
    """Environment variables that make a new process a lesser processor's."""

    kind: str
    numpy_off: tuple[str, ...]  # the names to switch off, of those that this NumPy uses on this machine
    numba_cpu: str
    numba_features: str  # on top of the named processor's own; without it numba adds all that this one has

    def environment(self) -> dict[str, str]:
        """The variables.

        >>> Setting("AVX2", ("X86_V4", "AVX512_ICL"), "haswell", "+avx2,+fma").environment()["NPY_DISABLE_CPU_FEATURES"]
        'X86_V4,AVX512_ICL'
        """
        return {
            "NPY_DISABLE_CPU_FEATURES": ",".join(self.numpy_off),
            "NUMBA_CPU_NAME": self.numba_cpu,
            "NUMBA_CPU_FEATURES": self.numba_features,
        }


def lower() -> Setting:
    """One kind below this machine's: AVX2 below AVX-512, AVX below AVX2. CannotLowerError where there is none."""
    return below(platform.machine(), *_this_machine())


def kinds() -> list[Setting]:
    """Every kind below this machine's, the widest first; none where there is none."""
    flags, dispatched = _this_machine()
    found: list[Setting] = []
    for taken in (set(), {"avx512f"}, {"avx512f", "avx2"}):
        with contextlib.suppress(CannotLowerError):
            setting = below(platform.machine(), flags - taken, dispatched)
            found += [setting] if setting not in found else []
    return found


def _this_machine() -> tuple[set[str], list[str]]:
    """The processor's flags, whatever NUMBA_CPU_NAME says, and what NumPy dispatches on or was told not to."""
    import llvmlite.binding

    flags = llvmlite.binding.get_host_cpu_features()
    off_already = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").replace(",", " ").split()
    return {name for name, is_there in flags.items() if is_there}, [*numpy_dispatched(), *off_already]


def below(machine: str, flags: set[str], dispatched: Iterable[str]) -> Setting:
    """The setting for a processor with these flags (LLVM's names) under a NumPy that dispatches on these features.

    >>> below("x86_64", {"avx2", "fma", "avx512f"}, ["X86_V3", "X86_V4", "AVX512_ICL"])
    Setting(kind='AVX2', numpy_off=('X86_V4', 'AVX512_ICL'), numba_cpu='haswell', numba_features='+avx2,+fma')
    >>> below("AMD64", {"avx2", "fma"}, ["SSE42", "AVX", "FMA3", "AVX2"]).numpy_off
    ('FMA3', 'AVX2')
    >>> below("arm64", {"neon"}, ["ASIMDHP"])
    Traceback (most recent call last):
    ...
    llm_from_scratch.kernels.processor.CannotLowerError: arm64: lesser kinds are known of x86-64 only
    """
    if machine.lower() not in ("x86_64", "amd64"):
        raise CannotLowerError(f"{machine}: lesser kinds are known of x86-64 only")
    if "avx512f" in flags:
        return Setting("AVX2", tuple(name for name in dispatched if name not in AVX2), "haswell", "+avx2,+fma")
    if "avx2" in flags:
        return Setting("AVX", tuple(name for name in dispatched if name not in AVX), "ivybridge", "+avx,-avx2,-fma")
    raise CannotLowerError("this processor has neither AVX-512 nor AVX2: nothing is left to take away")


def numpy_dispatched() -> list[str]:
    """The features that NumPy looks for beyond those it was built with, and that are on in this process."""
    # As np.show_runtime reads them.
    from numpy._core import _multiarray_umath as numpy_core  # type: ignore[attr-defined]

    return [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__[name]]


def in_effect() -> dict[str, list[str]]:
    """What NumPy and numba use in this process: NumPy's dispatched features, numba's processor and its features."""
    from numba.core.registry import cpu_target

    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()  # the key of numba's own cache
    return {"numpy": numpy_dispatched(), "numba": [cpu, *features.split(",")]}


def verify(setting: Setting) -> dict[str, list[str]]:
    """Start a process under `setting` -> what is `in_effect` there; RuntimeError if that is more than it should be."""
    package = str(Path(__file__).resolve().parents[2])
    code = "import json; from llm_from_scratch.kernels import processor; print(json.dumps(processor.in_effect()))"
    environment = {**os.environ, "PYTHONPATH": package, **setting.environment()}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError(f"a process under the setting {setting.environment()} failed:\n{child.stderr.strip()}")
    found: dict[str, list[str]] = json.loads(child.stdout)
    still_on = sorted(set(found["numpy"]) & set(setting.numpy_off))
    expected = [setting.numba_cpu, *setting.numba_features.split(",")]
    if still_on or found["numba"] != expected:
        raise RuntimeError(
            f"{setting.environment()} took no effect: NumPy still uses {still_on}, numba compiles for {found['numba']}"
        )
    return found
