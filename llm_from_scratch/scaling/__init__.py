"""What models cost, and how large a model a budget should buy.

    costs(spec)                                  parameters, bytes, FLOPs of any design
    training_memory, activation_memory, loading  bytes to train and to load
    footprint(gpu_hours)                         energy and carbon; REPORTED: what was published
    fit_parametric(parameters, tokens, losses)   Chinchilla's third approach; bootstrap: how sure it is
    fit_valley, lower_envelope, fit_power_law    its second and first
    optimal_allocation(flops, law)               parameters and tokens
    cheapest_to_serve(loss, served, law)         the same with serving counted
    repeated_loss(parameters, tokens, unique)    when the text runs out
    plan(flops=…)                                a run: size, data, config, time, memory, energy
    simulate(Run(spec, …), cluster_of(2048))     a cluster's throughput: seconds of a step, part by part, and bytes
    PUBLISHED_RUNS                               what papers report of theirs
    CHINCHILLA_TABLE, counted(row)               the papers' tables of sizes, recounted

The command `python -m llm_from_scratch scaling` has most of it. The names below are loaded when first used: the fit
needs SciPy, which takes longer to import than the rest of the package together.
"""

from __future__ import annotations

from ..public_names import loaded_when_used

_HOMES = {
    "Costs": "bill",
    "costs": "bill",
    "Cluster": "cluster",
    "cluster_from": "cluster",
    "cluster_of": "cluster",
    "volume": "cluster",
    "ACCELERATORS": "energy",
    "REPORTED": "energy",
    "footprint": "energy",
    "gpu_hours": "energy",
    "utilisation": "energy",
    "lower_envelope": "envelopes",
    "bootstrap": "fitting",
    "fit_parametric": "fitting",
    "huber_objective": "fitting",
    "fit_valley": "isoflops",
    "CHINCHILLA": "laws",
    "LAWS": "laws",
    "Law": "laws",
    "REPLICATION": "laws",
    "optimal_allocation": "laws",
    "optimal_parameters": "laws",
    "optimal_tokens": "laws",
    "Efficiency": "layer_work",
    "activation_memory": "memory",
    "loading": "memory",
    "rule_of_thumb": "memory",
    "training_memory": "memory",
    "Run": "parallel_run",
    "bubble": "pipeline_events",
    "play": "pipeline_events",
    "llama_of": "planning",
    "plan": "planning",
    "PowerLaw": "power_laws",
    "fit_power_law": "power_laws",
    "PUBLISHED_RUNS": "published_runs",
    "PublishedRun": "published_runs",
    "CHINCHILLA_TABLE": "published_sizes",
    "GOPHER_TABLE": "published_sizes",
    "RULES": "published_sizes",
    "counted": "published_sizes",
    "recovers": "published_sizes",
    "DATA_CONSTRAINED": "repeats",
    "effective_parameters": "repeats",
    "effective_tokens": "repeats",
    "repeated_loss": "repeats",
    "cheapest_at_budget": "serving",
    "cheapest_to_serve": "serving",
    "tokens_for_loss": "serving",
    "Step": "simulator",
    "simulate": "simulator",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = loaded_when_used(__name__, _HOMES)
