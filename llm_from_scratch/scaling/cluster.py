"""A cluster: accelerators in nodes, the links inside a node and between nodes, and what it costs to talk over them.

Collectives are rings. Among n ranks each sends (n−1)/n of the data in a gather or a scatter, and twice that when all
sum up, in steps that each wait for the latency of a link (Patarasuk & Yuan 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from .checking import number, whole
from .energy import Accelerator, accelerator

LINK_SHARE = 0.75  # of what a link is sold as, what a collective of some megabytes gets: an assumption
ROUNDS = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1}


def volume(kind: str, size: float, ranks: int) -> float:
    """Bytes that each of `ranks` sends to do a collective of `size` bytes as a ring.

    >>> volume("all-reduce", 1000, 4), volume("all-gather", 1000, 4), volume("all-reduce", 1000, 1)
    (1500.0, 750.0, 0.0)
    """
    if kind not in ROUNDS:
        raise ValueError(f"a collective is one of {', '.join(ROUNDS)}, not {kind!r}")
    ranks = whole("ranks", ranks)
    return ROUNDS[kind] * (ranks - 1) / ranks * number("size", size, zero=True)


@dataclass(frozen=True)
class Cluster:
    """`nodes` of `gpus_per_node` accelerators.

    link: bytes a second and direction that one accelerator sends to others in its node. network: bytes a second and
    direction that a whole node sends to others, shared by its accelerators. Latencies in seconds. link_share: of both
    bandwidths, what is got.
    """

    accelerator: Accelerator
    nodes: int
    gpus_per_node: int = 8
    link: float = 300e9
    network: float = 200e9
    link_latency: float = 5e-6
    network_latency: float = 10e-6
    link_share: float = LINK_SHARE

    def __post_init__(self) -> None:
        if not isinstance(self.accelerator, Accelerator):
            raise TypeError(f"accelerator must be one of ACCELERATORS or an Accelerator, not {self.accelerator!r}")
        whole("nodes", self.nodes)
        whole("gpus_per_node", self.gpus_per_node)
        for name in ("link", "network"):
            _bandwidth(name, getattr(self, name))
        for name in ("link_latency", "network_latency"):
            number(name, getattr(self, name), zero=True)
        if number("link_share", self.link_share) > 1:
            raise ValueError(f"link_share is a share of the bandwidth, between 0 and 1, got {self.link_share}")

    @property
    def gpus(self) -> int:
        """All accelerators."""
        return self.nodes * self.gpus_per_node

    def _path(self, ranks: int, apart: int) -> tuple[float, float]:
        """Bandwidth of an accelerator and latency in a ring of `ranks` that are `apart` places from each other."""
        near = max(1, min(ranks, self.gpus_per_node // apart))  # of the ring, in one node
        if near == ranks:
            return self.link * self.link_share, self.link_latency
        # a ring leaves a node once; the rings that pass through it, one for each of the others, share its network
        rings = max(1, self.gpus_per_node // near)
        return min(self.link, self.network / rings) * self.link_share, self.network_latency

    def seconds(self, kind: str, size: float, ranks: int, apart: int = 1) -> float:
        """A collective among `ranks` that are `apart` places from each other, nodes being filled in order.

        >>> pod = Cluster(accelerator("a100"), nodes=2, link_latency=0, network_latency=0, link_share=1)
        >>> pod.seconds("all-reduce", 300e9, 8), pod.seconds("all-reduce", 25e9, 2, apart=8)
        (1.75, 1.0)
        """
        if ranks == 1:
            return 0.0
        bandwidth, latency = self._path(ranks, apart)
        return volume(kind, size, ranks) / bandwidth + ROUNDS[kind] * (ranks - 1) * latency

    def send_seconds(self, size: float, apart: int) -> float:
        """A message to the accelerator `apart` places on; all accelerators of a node send at once."""
        bandwidth, latency = self._path(2, apart)
        return size / bandwidth + latency


def _bandwidth(name: str, value: Any) -> float:
    return value if isinstance(value, float) and value == float("inf") else number(name, value)


# gigabytes a second of a node's network: InfiniBand HDR has 25 a port, Omni-Path 100 has 12.5, AWS p4d has 50 in all
NETWORKS = {"a100": 200e9, "a100-40gb": 200e9, "h100": 400e9, "v100": 50e9, "rtx4090": 25e9}
LINKS = {"a100": 300e9, "a100-40gb": 300e9, "h100": 450e9, "v100": 150e9, "rtx4090": 32e9}


def cluster_of(gpus: int, gpu: str = "a100", *, network: float | None = None, gpus_per_node: int = 8) -> Cluster:
    """A cluster of so many accelerators of a name, with the links such nodes have; a part of one node if they fit in.

    >>> cluster_of(2048).nodes, cluster_of(4).gpus_per_node
    (256, 4)
    """
    chip, gpus, each = accelerator(gpu), whole("gpus", gpus), whole("gpus_per_node", gpus_per_node)
    if gpus > each and gpus % each:
        raise ValueError(
            f"{gpus} accelerators do not fill nodes of {each}: take {gpus // each * each} or {-(-gpus // each) * each}"
        )
    name = gpu.lower()
    return Cluster(
        chip, max(1, gpus // each), min(gpus, each), LINKS[name], NETWORKS[name] if network is None else network
    )


def cluster_from(description: Mapping[str, Any]) -> Cluster:
    """A cluster from JSON: the fields of `Cluster`, and an accelerator by name or by the fields of `Accelerator`.

    What is not said is as in nodes of that accelerator. Raises ValueError or TypeError for what is missing or unknown.

    >>> cluster_from({"accelerator": "a100-40gb", "nodes": 48, "network": 50e9}).gpus
    384
    """
    chip = description.get("accelerator")
    fields = dict(description)
    if isinstance(chip, Mapping):
        fields["accelerator"] = _made(Accelerator, {"watts": 0.0, "others": {}} | dict(chip), "the accelerator")
        for name in ("flops", "bytes", "bandwidth"):
            number(name, getattr(fields["accelerator"], name))
    elif chip is not None:
        fields["accelerator"] = accelerator(chip)
        fields = {"link": LINKS[chip.lower()], "network": NETWORKS[chip.lower()]} | fields
    return _made(Cluster, fields, "a cluster")


def _made(kind: Any, fields: Mapping[str, Any], what: str) -> Any:
    known = {field.name: field.default is MISSING for field in dataclass_fields(kind)}
    unknown, missing = fields.keys() - known.keys(), {name for name, needed in known.items() if needed} - fields.keys()
    if unknown or missing:
        told = [f"has no {', '.join(sorted(unknown))}"] * bool(unknown)
        told += [f"needs {', '.join(sorted(missing))}"] * bool(missing)
        raise ValueError(f"{what} {' and '.join(told)}; it has {', '.join(known)}")
    return kind(**fields)
