"""What the tests of this room share; those that start processes need mpi4py and the mpiexec of its environment."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for running.py and splitting.py


@pytest.fixture(scope="session")
def mpiexec():
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install 'llm_from_scratch[mpi]'")
    path = Path(sys.executable).with_name("mpiexec")
    if not path.exists():
        pytest.skip("there is no mpiexec in this environment: no wheel of mpich for this platform")
    return path
