"""From a budget to a run: how large a model, on how many tokens, and what that takes.

A budget is FLOPs, hours of an accelerator, or the tokens that one has. The plan names a LLaMA of about the optimal
size, in the words of its config.json, so that it can be built as it stands.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..checkpoints import spec as find_spec
from .bill import costs
from .checking import number
from .energy import UTILISATION, Footprint, accelerator, flops_of, footprint, gpu_hours
from .laws import REPLICATION, Law, optimal_allocation, optimal_parameters, optimal_tokens
from .memory import activation_memory, training_memory
from .serving import cheapest_at_budget

VOCABULARY, CONTEXT = 32_000, 2_048
SMALLEST, LARGEST = 64, 32_768  # widths
DEEPEST = 2_048  # layers: beyond, nothing is left of the shape of the published ones
PRICE = 2.0  # dollars for an hour of an A100, rented: an assumption


@dataclass(frozen=True)
class Plan:
    """A run. parameters, tokens, flops (training), serving_flops, loss: by the law. config: a LLaMA near that size.

    counted_flops: of that LLaMA, with attention and without the rule 6ND. bytes: weights, gradients and AdamW in mixed
    precision. activation_bytes: of one text, recomputed by layer. used: the energy, hours and carbon of `gpus` at work
    for `days`. price: dollars.
    """

    parameters: float
    tokens: float
    flops: float
    serving_flops: float
    loss: float
    config: dict[str, Any]
    config_parameters: int
    counted_flops: float
    bytes_to_load: float
    bytes: float
    activation_bytes: int
    gpu: str
    gpus: int
    days: float
    used: Footprint
    price: float

    def to_json(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def plan(
    *,
    flops: float | None = None,
    hours: float | None = None,
    tokens: float | None = None,
    parameters: float | None = None,
    served: float = 0.0,
    gpu: str = "a100",
    gpus: int | None = None,
    utilisation: float = UTILISATION,
    law: Law = REPLICATION,
    context: int = CONTEXT,
    vocabulary: int = VOCABULARY,
    price: float = PRICE,
) -> Plan:
    """The run that a budget pays for.

    One budget: flops, hours (GPU hours at that utilisation), tokens, or parameters alone, or tokens with parameters, or
    parameters with flops or hours. What is not given is optimal by the law. served: with it the size is the cheapest
    that reaches the loss of the training optimum, training and so many tokens of serving counted together. gpus: how
    many at once; by default as many as hold the run's memory, in eights. Raises ValueError for no or two budgets.

    >>> found = plan(flops=5.76e23)
    >>> f"{found.parameters / 1e9:.0f}B, {found.tokens / 1e12:.2f}T, {found.used.gpu_hours:,.0f} hours"
    '72B, 1.33T, 1,139,601 hours'
    """
    size, count = _sized(flops, hours, tokens, parameters, number("served", served, zero=True), gpu, utilisation, law)
    if count < 1:
        raise ValueError(f"the budget is too small: {size:.3g} parameters would read {count:.3g} tokens for it")
    config = llama_of(size, context=context, vocabulary=vocabulary)
    spec = find_spec(config)
    bill = costs(spec)
    training = 6 * size * count
    memory = training_memory(size).total
    chip = accelerator(gpu)
    activations = activation_memory(spec, recompute=True)
    if gpus is None:
        gpus = max(1, -(-int(memory + activations) // int(chip.bytes)))
        gpus = gpus if gpus == 1 else 8 * -(-gpus // 8)
    elif isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 1:
        raise ValueError(f"gpus must be a whole number of at least 1, got {gpus!r}")
    used = footprint(gpu_hours(training, gpu, utilisation), watts=chip.watts)
    return Plan(
        parameters=size,
        tokens=count,
        flops=training,
        serving_flops=2 * size * served,
        loss=law.loss(size, count),
        config=config,
        config_parameters=bill.parameters,
        counted_flops=bill.training_flops(count)["counted"],
        bytes_to_load=2 * size,
        bytes=memory,
        activation_bytes=activations,
        gpu=gpu.lower(),
        gpus=gpus,
        days=used.gpu_hours / gpus / 24,
        used=used,
        price=used.gpu_hours * number("price", price, zero=True),
    )


def _sized(
    flops: float | None, hours: float | None, tokens: float | None, parameters: float | None, served: float,
    gpu: str, utilisation: float, law: Law,
) -> tuple[float, float]:  # fmt: skip
    """Parameters and tokens."""
    budgets = {"flops": flops, "hours": hours, "tokens": tokens}
    given = [name for name, value in budgets.items() if value is not None]
    if len(given) > 1 or not (given or parameters is not None):
        raise ValueError(
            f"give one budget, flops, hours or tokens, or parameters alone; got {', '.join(given) or 'none'}"
        )
    if tokens is not None:
        tokens = number("tokens", tokens)
    if hours is not None:
        flops = flops_of(hours, gpu, utilisation)
    if parameters is not None:
        if served:
            raise ValueError("served tokens choose the size: leave parameters out, or served")
        size = number("parameters", parameters)
        if flops is not None:
            return size, number("flops", flops) / (6 * size)
        return size, tokens if tokens is not None else optimal_tokens(size, law)
    if tokens is not None:
        size = optimal_parameters(tokens, law)
        if not served:
            return size, tokens
        flops = 6 * size * tokens
    assert flops is not None
    if not served:
        return optimal_allocation(number("flops", flops), law)
    found = cheapest_at_budget(flops, served, law)
    return found.parameters, found.tokens


def llama_of(parameters: float, *, context: int = CONTEXT, vocabulary: int = VOCABULARY) -> dict[str, Any]:
    """The config of a LLaMA of about so many parameters: about 128 times as wide as deep, as the published ones are.

    Heads are 128 wide, below a width of 1,024 as narrow as 64. Embedding and head are one matrix where two would be
    more than a third of the model.

    >>> config = llama_of(6.7e9)
    >>> config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    (4096, 32, 11008)

    Raises ValueError for fewer parameters than the smallest such model has, and more than the largest.
    """
    wanted = number("parameters", parameters)
    found: list[tuple[float, dict[str, Any]]] = []
    for width in range(SMALLEST, LARGEST + 1, 64):
        head = 128 if width >= 1024 else 64
        if width % head:
            continue
        inner = -(-8 * width // 3 // 256) * 256 if width >= 512 else -(-8 * width // 3 // 32) * 32
        layer = 4 * width * width + 3 * width * inner + 2 * width
        tied = 2 * vocabulary * width > wanted / 3
        outside = (1 if tied else 2) * vocabulary * width + width
        depth = max(1, round((wanted - outside) / layer))
        off = abs(outside + depth * layer - wanted) / wanted
        shape = abs(width / depth - 128) / 128  # a model of exactly the size, but flat or thin, is not wanted
        config = {
            "model_type": "llama", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": depth,
            "num_attention_heads": width // head, "num_key_value_heads": width // head, "vocab_size": vocabulary,
            "max_position_embeddings": context, "tie_word_embeddings": tied,
        }  # fmt: skip
        if off < 0.2 and depth <= DEEPEST:
            found.append((off + 0.3 * shape, config))
    if not found:
        raise ValueError(
            f"there is no LLaMA of about {wanted:.3g} parameters with a vocabulary of {vocabulary:,}, only of about "
            f"{vocabulary * SMALLEST:.3g} to {12 * DEEPEST * LARGEST**2:.3g}; a smaller one needs a smaller vocabulary"
        )
    return min(found, key=lambda pair: pair[0])[1]
