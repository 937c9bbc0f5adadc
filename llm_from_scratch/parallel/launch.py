"""Whether this process was started as one of several, and as which: asked of the environment, before MPI is there."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Who starts processes tells each of them how many there are and which it is. SLURM's job has a number of tasks, too,
# but only in a step (srun) is each a process.
_LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
INSTALL = "pip install 'llm_from_scratch[mpi]' (mpi4py and MPICH), in the same environment on every machine"


def launched(environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """(rank, size) as mpiexec or srun say; (0, 1) where there is but this process.

    >>> launched({"PMI_SIZE": "4", "PMI_RANK": "2"}), launched({})
    ((2, 4), (0, 1))
    """
    environment = os.environ if environment is None else environment
    for size, rank in _LAUNCHERS:
        if environment.get(size, "").isdecimal() and environment.get(rank, "").isdecimal():
            if int(environment[size]) > 1:
                return int(environment[rank]), int(environment[size])
    return 0, 1
