"""Kinds of processors: which this one is, and how every contender is made to run as a lesser one.

NumPy and numba are told by `kernels.processor`; the variables here tell OpenBLAS, PyTorch and what it stands on. The
llama.cpp library obeys no variable: what it was built for is what it uses, so that a lesser kind needs a build of its
own, whose folder LLAMA_CPP_LIB_PATH names; its own report (`llama_print_system_info`) is printed beside its figures.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from ..kernels import processor

LLAMA_CPP = "LLAMA_CPP_LIB_PATH"
VARIABLE = "LLM_FROM_SCRATCH_BENCH_AS"  # tells a child which kind it plays
# OpenBLAS's Haswell and SandyBridge kernels are those that it picks by itself on such processors, AMD's included.
LIBRARIES: dict[str, dict[str, str]] = {
    "avx2": {
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "avx": {
        "OPENBLAS_CORETYPE": "Sandybridge",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "AVX",
        "ONEDNN_MAX_CPU_ISA": "AVX",
    },
}


def environment(kind: str | None) -> dict[str, str]:
    """The variables by which every library of a new process is a processor of that kind; none for None.

    ValueError for a kind that this machine cannot play.
    """
    if kind is None:
        return {}
    known = {setting.kind.lower(): setting for setting in processor.kinds()}
    if kind not in known:
        can = f"it can be {', '.join(known)}" if known else "it has no lesser kind to play"
        raise ValueError(f"this processor cannot run as {kind!r}: {can}")
    return known[kind].environment() | LIBRARIES[kind] | {VARIABLE: kind}


def in_use() -> dict[str, Any]:
    """What the libraries that this process has loaded really use: {library: what it says of itself}."""
    from numpy._core import _multiarray_umath as numpy_core  # type: ignore[attr-defined]

    loops = [*numpy_core.__cpu_baseline__, *processor.numpy_dispatched()]
    found: dict[str, Any] = {"numpy": _widest(" ".join(loops))}
    blas = [
        info.get("architecture") or info["internal_api"] for info in threadpool_info() if info["user_api"] == "blas"
    ]
    found["blas"] = ", ".join(sorted(set(blas)))
    if "numba" in sys.modules:
        cpu, *features = processor.in_effect()["numba"]
        found["numba"] = f"{_widest(' '.join(name for name in features if name.startswith('+')))} ({cpu})"
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.backends.cpu.get_cpu_capability()
    if llama_cpp := sys.modules.get("llama_cpp"):
        told = llama_cpp.llama_print_system_info().decode().split("|")
        found["llama.cpp"] = _widest(" ".join(part for part in told if "= 1" in part))
    return found


def _widest(features: str) -> str:
    """The widest vector unit among names of features.

    >>> _widest("SSE42 AVX FMA3 AVX2"), _widest("+avx,+avx2,+avx512f"), _widest("X86_V2 X86_V3")
    ('AVX2', 'AVX-512', 'AVX2')
    """
    names = features.upper()
    widths = (("AVX512", "AVX-512"), ("X86_V4", "AVX-512"), ("AVX2", "AVX2"), ("X86_V3", "AVX2"), ("AVX", "AVX"))
    return next((width for name, width in widths if name in names), "SSE or other")


def machine() -> dict[str, Any]:
    """Model of the processor, cores that may be used, memory, system, versions of Python and NumPy."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _model(),
        "cores": cores,
        "memory": psutil.virtual_memory().total,
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _model() -> str:
    """The processor's name as the system has it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
