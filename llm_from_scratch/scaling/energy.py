"""Energy and carbon of a run: GPU hours × power × PUE × how much carbon a kilowatt-hour stands for.

PUE, power usage effectiveness, is what a data centre draws divided by what its computers draw. What is counted is what
the GPUs are rated for, as the papers do: neither idle nodes, nor the processors beside them, nor what was spent to
build them. (For BLOOM that was counted once: 24.7 tonnes for the GPUs at work became 50.5 for everything.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .checking import number

SECONDS = 3600


@dataclass(frozen=True)
class Accelerator:
    """What a data sheet says: bfloat16 (V100: float16) FLOPs a second without sparsity, watts, bytes of memory.

    bandwidth: bytes a second that its memory reads or writes. others: FLOPs a second in other formats.
    """

    name: str
    flops: float
    watts: float
    bytes: float
    bandwidth: float
    others: Mapping[str, float]

    def peak(self, precision: str = "bfloat16") -> float:
        """FLOPs a second in a format. ValueError for one that it does not compute in."""
        peaks = {"bfloat16": self.flops, "float16": self.flops, **self.others}
        if not isinstance(precision, str) or precision not in peaks:
            raise ValueError(f"{self.name} computes in {', '.join(peaks)}, not in {precision!r}")
        return peaks[precision]


_AMPERE = {"float32": 19.5e12, "tensorfloat32": 156e12}
ACCELERATORS = {
    "v100": Accelerator("V100 SXM2 32 GB", 125e12, 300, 32e9, 900e9, {"float32": 15.7e12}),
    "a100": Accelerator("A100 SXM 80 GB", 312e12, 400, 80e9, 2039e9, _AMPERE),
    "a100-40gb": Accelerator("A100 SXM 40 GB", 312e12, 400, 40e9, 1555e9, _AMPERE),
    "h100": Accelerator(
        "H100 SXM 80 GB", 989e12, 700, 80e9, 3350e9,
        {"float32": 67e12, "tensorfloat32": 495e12, "float8": 1979e12},
    ),
    "rtx4090": Accelerator("GeForce RTX 4090", 165e12, 450, 24e9, 1008e9, {"float32": 82.6e12}),
}  # fmt: skip
# Of the peak, a little less than what 6ND makes of LLaMA 65B's run; see `utilisation`.
UTILISATION = 0.45


@dataclass(frozen=True)
class Footprint:
    """Of a run: GPU hours, kilowatt-hours, kilograms of CO2 equivalent."""

    gpu_hours: float
    kilowatt_hours: float
    kilograms: float


def footprint(gpu_hours: float, *, watts: float = 400, pue: float = 1.1, kilograms_per_kwh: float = 0.385) -> Footprint:
    """What so many GPU hours took. The defaults are those of LLaMA's table 15 (an A100, the mean of the United States).

    >>> run = footprint(1_022_362)                                              # LLaMA 65B
    >>> f"{run.kilowatt_hours / 1000:.1f} MWh, {run.kilograms / 1000:.0f} tonnes"
    '449.8 MWh, 173 tonnes'
    """
    hours = number("gpu_hours", gpu_hours)
    if number("pue", pue) < 1:
        raise ValueError(f"pue is at least 1 (the computers draw a part of what the data centre draws), got {pue}")
    energy = hours * number("watts", watts) / 1000 * pue
    return Footprint(hours, energy, energy * number("kilograms_per_kwh", kilograms_per_kwh, zero=True))


def gpu_hours(flops: float, gpu: str = "a100", utilisation: float = UTILISATION) -> float:
    """Hours of one accelerator for so many FLOPs, at a share of its peak.

    >>> f"{gpu_hours(6 * 65.2e9 * 1.4e12):,.0f}"                                # LLaMA 65B took 1,022,362
    '1,083,571'
    """
    return number("flops", flops) / (accelerator(gpu).flops * _share(utilisation) * SECONDS)


def flops_of(hours: float, gpu: str = "a100", utilisation: float = UTILISATION) -> float:
    """FLOPs that so many hours of one accelerator do: the inverse of `gpu_hours`."""
    return number("gpu_hours", hours) * accelerator(gpu).flops * _share(utilisation) * SECONDS


def utilisation(flops: float, hours: float, gpu: str = "a100") -> float:
    """The share of an accelerator's peak that `flops` in so many GPU hours are.

    >>> f"{utilisation(6 * 65.2e9 * 1.4e12, 1_022_362):.1%}"                     # LLaMA 65B
    '47.7%'
    """
    return number("flops", flops) / flops_of(hours, gpu, 1.0)


def accelerator(name: str) -> Accelerator:
    """By its short name. ValueError for one that is not known."""
    if not isinstance(name, str) or name.lower() not in ACCELERATORS:
        raise ValueError(f"unknown accelerator {name!r}: there are {', '.join(ACCELERATORS)}")
    return ACCELERATORS[name.lower()]


def _share(value: float) -> float:
    share = number("utilisation", value)
    if share > 1:
        raise ValueError(f"utilisation is a share of the peak, between 0 and 1, got {value}")
    return share


@dataclass(frozen=True)
class Reported:
    """A run as published: what went in, and what was printed as energy (MWh) and carbon (tonnes); None: not printed."""

    gpu_hours: float
    watts: float
    pue: float
    kilograms_per_kwh: float
    megawatt_hours: float | None
    tonnes: float
    source: str

    def recomputed(self) -> Footprint:
        """By `footprint`, from what went in."""
        return footprint(self.gpu_hours, watts=self.watts, pue=self.pue, kilograms_per_kwh=self.kilograms_per_kwh)


_LLAMA, _LLAMA_2 = "2302.13971, table 15", "2307.09288, table 2"
# In LLaMA's table all runs stand as if made in one place, so that they can be compared; BLOOM's own paper has the real
# grid of France, 57 grams a kilowatt-hour. LLaMA 2 prints no PUE: 1.1 is what its tonnes come out with.
REPORTED = {
    "OPT-175B": Reported(809_472, 400, 1.1, 0.385, 356, 137, _LLAMA),
    "BLOOM-175B": Reported(1_082_880, 400, 1.1, 0.385, 475, 183, _LLAMA),
    "LLaMA-7B": Reported(82_432, 400, 1.1, 0.385, 36, 14, _LLAMA),
    "LLaMA-13B": Reported(135_168, 400, 1.1, 0.385, 59, 23, _LLAMA),
    "LLaMA-33B": Reported(530_432, 400, 1.1, 0.385, 233, 90, _LLAMA),
    "LLaMA-65B": Reported(1_022_362, 400, 1.1, 0.385, 449, 173, _LLAMA),
    "BLOOM-176B, in France": Reported(1_082_990, 400, 1.0, 0.057, 433.196, 24.7, "2211.02001, section 4"),
    "LLaMA-2-7B": Reported(184_320, 400, 1.1, 0.385, None, 31.22, _LLAMA_2),
    "LLaMA-2-13B": Reported(368_640, 400, 1.1, 0.385, None, 62.44, _LLAMA_2),
    "LLaMA-2-34B": Reported(1_038_336, 350, 1.1, 0.385, None, 153.90, _LLAMA_2),
    "LLaMA-2-70B": Reported(1_720_320, 400, 1.1, 0.385, None, 291.42, _LLAMA_2),
}
