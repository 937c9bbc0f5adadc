"""Who started this process, and how many."""

import pytest

from llm_from_scratch.parallel import launched


@pytest.mark.parametrize(
    "environment, wanted",
    [
        ({}, (0, 1)),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, (1, 2)),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "3"}, (3, 8)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, (0, 4)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, (0, 1)),  # in the script of a job there is one process
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, (0, 1)),
        ({"PMI_SIZE": "2"}, (0, 1)),
        ({"PMI_SIZE": "many", "PMI_RANK": "0"}, (0, 1)),
    ],
)
def test_launchers_are_known_by_what_they_set(environment, wanted):
    assert launched(environment) == wanted


def test_this_process_is_alone(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == (0, 1)
