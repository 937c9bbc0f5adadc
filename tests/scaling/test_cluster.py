"""Clusters: the bytes of a ring counted message by message, bandwidths by place, JSON, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from llm_from_scratch.scaling.cluster import LINKS, NETWORKS, Cluster, cluster_from, cluster_of, volume
from llm_from_scratch.scaling.energy import ACCELERATORS


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_the_volume_is_what_a_ring_sends(ranks: int) -> None:
    """A ring all-reduce, played: in each of its rounds every rank sends one piece to its neighbour."""
    rng = np.random.default_rng(ranks)
    start = rng.normal(size=(ranks, ranks, 5))  # of each rank, in pieces
    held, sent = start.copy(), 0
    for turn in range(2 * (ranks - 1)):
        before = held.copy()
        for rank in range(ranks):
            piece = (rank - turn) % ranks
            target = (rank + 1) % ranks
            if turn < ranks - 1:
                held[target, piece] += before[rank, piece]
            else:
                piece = (rank + 1 - (turn - ranks + 1)) % ranks
                held[target, piece] = before[rank, piece]
            sent += before[rank, piece].nbytes
    assert np.allclose(held, start.sum(axis=0))  # it was an all-reduce
    size = start[0].nbytes
    assert sent / ranks == volume("all-reduce", size, ranks) == 2 * (ranks - 1) / ranks * size
    assert volume("reduce-scatter", size, ranks) + volume("all-gather", size, ranks) == pytest.approx(sent / ranks)


def test_who_shares_a_network() -> None:
    pod = Cluster(
        ACCELERATORS["a100"], 4, 8, link=300e9, network=200e9, link_latency=0, network_latency=0, link_share=1
    )
    size = 8e9
    assert pod.seconds("all-gather", size, 8) == pytest.approx(volume("all-gather", size, 8) / 300e9)  # inside a node
    # 32 in one ring: it leaves a node once, and has all of the network
    assert pod.seconds("all-gather", size, 32) == pytest.approx(volume("all-gather", size, 32) / 200e9)
    # 4 ranks, one a node: eight such rings share a node's network; two a node: four rings
    assert pod.seconds("all-gather", size, 4, apart=8) == pytest.approx(volume("all-gather", size, 4) / 25e9)
    assert pod.seconds("all-gather", size, 8, apart=4) == pytest.approx(volume("all-gather", size, 8) / 50e9)
    assert pod.seconds("all-reduce", size, 1) == 0
    assert pod.send_seconds(25e9, apart=8) == pytest.approx(1.0)
    assert pod.send_seconds(300e9, apart=1) == pytest.approx(1.0)
    slow = Cluster(ACCELERATORS["a100"], 4, link_latency=1.0)
    assert slow.seconds("all-reduce", 0, 4) == pytest.approx(6.0)  # 2 · 3 rounds wait


def test_every_accelerator_has_links_and_peaks() -> None:
    assert LINKS.keys() == NETWORKS.keys() == ACCELERATORS.keys()
    for name, chip in ACCELERATORS.items():
        assert name == "rtx4090" or f" {chip.bytes / 1e9:g} GB" in chip.name  # gigabytes, as data sheets and runs say
        assert cluster_of(16, name).gpus == 16 and chip.peak("float16") == chip.flops > chip.peak("float32")
    assert ACCELERATORS["h100"].peak("float8") == pytest.approx(2 * ACCELERATORS["h100"].flops, rel=1e-3)
    with pytest.raises(ValueError, match="computes in .*, not in 'float8'"):
        ACCELERATORS["a100"].peak("float8")


def test_a_description() -> None:
    found = cluster_from({"accelerator": "a100", "nodes": 48, "network": 50e9})
    assert found == cluster_of(384, network=50e9)
    own = {"name": "mine", "flops": 1e12, "bytes": 1e9, "bandwidth": 1e11}
    assert cluster_from({"accelerator": own, "nodes": 1, "gpus_per_node": 1}).accelerator.peak() == 1e12


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "needs accelerator, nodes"),
        ({"accelerator": "a100"}, "needs nodes"),
        ({"accelerator": "a100", "nodes": 2, "speed": 3}, "has no speed; it has accelerator, nodes"),
        ({"accelerator": "abacus", "nodes": 2}, "unknown accelerator 'abacus'"),
        ({"accelerator": {"name": "mine"}, "nodes": 2}, "the accelerator needs bandwidth, bytes, flops"),
        ({"accelerator": "a100", "nodes": 0}, "nodes must be a whole number"),
        ({"accelerator": "a100", "nodes": True}, "nodes must be a whole number"),
        ({"accelerator": "a100", "nodes": 2, "link": -1}, "link must be more than 0"),
        ({"accelerator": "a100", "nodes": 2, "network": math.nan}, "network must be finite"),
        ({"accelerator": "a100", "nodes": 2, "link_share": 1.5}, "between 0 and 1"),
    ],
)
def test_what_is_no_cluster(description: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_from(description)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="do not fill nodes of 8: take 16 or 24"):
        cluster_of(20)
    with pytest.raises(ValueError, match="one of all-reduce"):
        volume("broadcast", 1.0, 2)
    with pytest.raises(ValueError, match="ranks must be a whole number"):
        volume("all-reduce", 1.0, 0)
    with pytest.raises(TypeError, match="accelerator must be"):
        Cluster("a100", 1)  # type: ignore[arg-type]
