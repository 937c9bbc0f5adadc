"""Chooses, for every kernel, between its NumPy twin and its compiled version.

`@kernel` marks a NumPy twin. At its first call the function of the same name is imported from the module of
the same name under `kernels/compiled` and runs from then on; with `LLM_FROM_SCRATCH_KERNELS=numpy` the twin
itself runs and numba is never imported. `@compiled` is what those modules put on their loops: one set of
numba settings, and a cache on disk that a changed source, setting or version cannot mislead.

A kernel takes ndarrays and plain numbers. All its floating-point arrays have one dtype, float32 or float64,
and so has its result.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import itertools
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import platformdirs

VARIABLE = "LLM_FROM_SCRATCH_KERNELS"
Function = TypeVar("Function", bound=Callable[..., Any])
Example = Callable[[np.random.Generator], Iterable[tuple[tuple[Any, ...], dict[str, Any]]]]


def backend() -> str:
    """'numba' (the default) or 'numpy', from the environment variable LLM_FROM_SCRATCH_KERNELS.

    >>> backend() in ("numba", "numpy")
    True
    """
    chosen = os.environ.get(VARIABLE, "") or "numba"
    if chosen not in ("numba", "numpy"):
        raise ValueError(f"{VARIABLE} must be 'numba' or 'numpy', not {chosen!r}: unset it to use the compiled kernels")
    return chosen


class Kernel:
    """A NumPy twin that hands its calls to the compiled version of the same name; made by `@kernel`.

    `__wrapped__` is the twin, `compiled_version()` the other one, `examples(rng)` the inputs that the tests
    use to hold the two together.
    """

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, twin: Callable[..., Any], writes: tuple[str, ...], contiguous: bool):
        functools.update_wrapper(self, twin)
        self.__wrapped__ = twin
        self._contiguous = contiguous
        names = list(inspect.signature(twin).parameters)
        unknown = [name for name in writes if name not in names]
        if unknown:
            raise TypeError(f"kernel {twin.__name__}: writes={writes} names {unknown}, which are not parameters")
        self._writes = tuple((name, names.index(name)) for name in writes)
        self._implementation: Callable[..., Any] | None = None
        self._check: Callable[..., None] | None = None
        self._example: Example | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        implementation = self._implementation
        if implementation is None:
            implementation = self._implementation = (
                self.__wrapped__ if backend() == "numpy" else self.compiled_version()
            )
        dtype = None
        copies: set[int | str] = set()  # arguments that must be copied
        given: Iterator[tuple[Any, Any]] = itertools.chain(enumerate(args), kwargs.items())
        for name, value in given:
            if isinstance(value, np.ndarray):
                if value.dtype.kind == "f":
                    if dtype is None:
                        dtype = value.dtype
                        if dtype.char not in "fd":
                            raise TypeError(self._dtype_message(value))
                    elif value.dtype.char != dtype.char:
                        raise TypeError(self._dtype_message(value, dtype))
                if not value.dtype.isnative or (self._contiguous and not value.flags.carray):
                    copies.add(name)
        if self._writes:
            self._check_written(args, kwargs)
        if self._check is not None:
            self._check(*args, **kwargs)
        if copies:
            # Numba compiles one more version for every layout and for read-only arrays, and none for another
            # processor's byte order: a plain copy costs less.
            args = tuple(_plain(v) if i in copies else v for i, v in enumerate(args))
            kwargs = {n: _plain(v) if n in copies else v for n, v in kwargs.items()}
        return implementation(*args, **kwargs)

    def _check_written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What is changed in place must not be a copy, or the change would be lost."""
        for name, position in self._writes:
            value = args[position] if position < len(args) else kwargs.get(name)
            if isinstance(value, np.ndarray) and not (value.flags.carray and value.dtype.isnative):
                raise ValueError(
                    f"{self.__name__} changes {name!r} in place: it must be writable, C-contiguous and in this "
                    f"machine's byte order, got {value.dtype.str} of shape {value.shape}, strides {value.strides}, "
                    f"writable={value.flags.writeable}: copy it"
                )

    def _dtype_message(self, value: np.ndarray, dtype: np.dtype | None = None) -> str:
        if dtype is None:
            return f"{self.__name__} works in float32 or float64, not {value.dtype}: convert the array first"
        return f"{self.__name__} needs one dtype for all its arrays, got {dtype} and {value.dtype}"

    def compiled_version(self) -> Callable[..., Any]:
        """The function of the same name in `kernels/compiled`, imported now (this imports numba)."""
        return getattr(compiled_module(self.__module__.rpartition(".")[2], self.__module__), self.__name__)

    def check(self, function: Callable[..., None]) -> Callable[..., None]:
        """Register a function of the same arguments that raises where they do not fit: it runs before either version.

        It names each array as the kernel does, or one given by keyword would pass unseen; settings may be **settings.
        """
        arguments = inspect.signature(self.__wrapped__).parameters
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD and name not in arguments:
                raise TypeError(f"the check of {self.__name__} has a parameter {name!r}, which the kernel has not")
        self._check = function
        return function

    def example(self, function: Example) -> Example:
        """Register a function of a Generator that yields (args, kwargs), a pair a case, floats as float64."""
        self._example = function
        return function

    def examples(self, rng: np.random.Generator, dtype: Any = np.float64) -> Iterator[tuple[tuple, dict]]:
        """The cases of `.example`, their floating-point arrays converted to `dtype`."""
        if self._example is None:
            raise TypeError(f"kernel {self.__name__} has no example: add one with @{self.__name__}.example")

        def convert(value: Any) -> Any:
            if type(value) in (list, tuple):
                return type(value)(map(convert, value))
            floating = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f"
            return value.astype(dtype) if floating else value

        for args, kwargs in self._example(rng):
            yield tuple(map(convert, args)), {name: convert(value) for name, value in kwargs.items()}

    def __repr__(self) -> str:
        return f"<kernel {self.__module__}.{self.__name__}>"


def compiled_module(topic: str, beside: str = __name__) -> Any:
    """The module of this topic in the folder `compiled` beside a module, imported now (this imports numba)."""
    return importlib.import_module(f"{beside.rpartition('.')[0]}.compiled.{topic}")


def _plain(value: np.ndarray) -> np.ndarray:
    """A copy as every compiled loop takes it: C-contiguous, aligned, writable, in this machine's byte order."""
    return np.array(value, value.dtype.newbyteorder("="), order="C")


KERNELS: dict[str, Kernel] = {}
"""Every kernel by 'topic.name'; importing a topic's module adds its kernels."""


def kernel(function: Callable[..., Any] | None = None, *, writes: tuple[str, ...] = (), contiguous: bool = True) -> Any:
    """Mark a NumPy twin as a kernel; calls go to the compiled function of the same name.

    writes:      names of the parameters that are changed in place; they must come as writable C-contiguous
                 arrays.
    contiguous:  other arrays that are not C-contiguous (or not writable) are copied before the call; False
                 passes them on as they are, for kernels that look at strides themselves.
    """
    if function is None:
        return functools.partial(kernel, writes=writes, contiguous=contiguous)
    made = Kernel(function, writes, contiguous)
    KERNELS[f"{function.__module__.rpartition('.')[2]}.{function.__name__}"] = made
    return made


# --- What the modules under kernels/compiled use

SETTINGS: dict[str, Any] = {
    "cache": True,
    "nogil": True,  # shards of a batch run in Python threads
    "error_model": "numpy",  # division by zero gives inf; the check for it would stop vectorisation
    # The two flags that let sums use several lanes and products fuse with additions. The full fastmath may
    # assume that no infinity or NaN exists, which breaks masks of -inf and checks that a loss is finite.
    "fastmath": {"reassoc", "contract"},
}
_cache_lock = threading.Lock()


def compiled(function: Callable[..., Any] | None = None, signature: Any = None, **options: Any) -> Any:
    """`numba.njit` with the settings of this package (`SETTINGS`, then `options`) and its cache folder.

    With a signature: `numba.cfunc`, compiled at once, whose `address` other compiled code can call.
    """
    if function is None:
        return functools.partial(compiled, signature=signature, **options)
    import numba

    config: Any = numba.config
    with _cache_lock:  # numba reads the setting while decorating; other packages' functions keep their own folder
        before = config.CACHE_DIR
        config.CACHE_DIR = cache_directory(inspect.getfile(function))
        try:
            settings = {**SETTINGS, **options}
            if signature is None:
                return numba.njit(**settings)(function)
            del settings["nogil"]  # whoever calls an address holds what it holds
            return numba.cfunc(signature, **settings)(function)
        finally:
            config.CACHE_DIR = before


@functools.cache
def cache_directory(source: str) -> str:
    """The folder for the machine code of one source file, named by a hash of everything that code depends on.

    Numba's own key holds the file, its time stamp and the processor, but neither the helpers that it imports from its
    own folder, and these in turn (`_sources`), nor settings such as NUMBA_BOUNDSCHECK.
    """
    import llvmlite
    import numba

    digest = hashlib.sha256()
    folder = Path(source).parent
    for path in (*sorted(_sources(Path(source))), folder / "__init__.py", Path(__file__)):
        digest.update(path.read_bytes() if path.exists() else b"")
        digest.update(b"\0")
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k != "NUMBA_CACHE_DIR")
    versions = (
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        platform.python_version(),
        str(folder),
    )
    digest.update(repr((settings, versions)).encode())
    base, stem = _writable_base(), Path(source).stem
    chosen = base / f"{stem}-{digest.hexdigest()[:16]}"
    if not chosen.exists():  # a new version: the moment to throw away what older ones left a month ago
        for old in base.glob(f"{stem}-*"):
            with contextlib.suppress(FileNotFoundError):  # another process may be doing the same
                if time.time() - old.stat().st_mtime > 30 * 86400:
                    shutil.rmtree(old, ignore_errors=True)
    return str(chosen)


def _sources(path: Path, found: set[Path] | None = None) -> set[Path]:
    """A module, what it imports from its folder, and what that imports."""
    found = set() if found is None else found
    if path not in found and path.exists():
        found.add(path)
        for module, names in re.findall(r"^from \.(\w*) import (.*)$", path.read_text(encoding="utf-8"), re.M):
            for name in [module] if module else re.split(r"\W+", names):
                _sources(path.with_name(f"{name}.py"), found)
    return found


@functools.cache
def _writable_base() -> Path:
    """The user's cache folder for compiled kernels, or a temporary one where that cannot be written."""
    candidates = []
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        candidates.append(Path(chosen).absolute() / "llm_from_scratch" / "kernels")
    with contextlib.suppress(RuntimeError):  # no home folder is known
        user = platformdirs.user_cache_path("llm_from_scratch", appauthor=False, opinion=False)
        candidates.append(user.expanduser() / "kernels")  # older versions leave "~" where no home is known
    for base in candidates:
        try:
            base.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=base) as trial:
                trial.write(b"writable")
            return base
        except OSError:
            continue
    return _private_temporary()


def _private_temporary() -> Path:
    """A temporary folder that nobody else can write: numba unpickles what it finds in its cache."""
    if hasattr(os, "getuid"):
        base = Path(tempfile.gettempdir()) / f"llm_from_scratch-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            base.mkdir(mode=0o700)
        status = base.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return base
    return Path(tempfile.mkdtemp(prefix="llm_from_scratch-"))
