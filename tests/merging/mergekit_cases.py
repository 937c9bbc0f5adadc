"""The recipes that are compared with mergekit, and the small models they merge."""

from __future__ import annotations

SMALL = {
    "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 11,
    "num_key_value_heads": 1, "max_position_embeddings": 16, "tie_word_embeddings": False,
}  # fmt: skip
MODELS = ("base", "a", "b", "c")

GRADIENT = "[0.0, 0.5, 1.0]"
FILTERS = "[{filter: self_attn, value: [0.2, 0.9]}, {filter: mlp, value: 0.3}, {value: 0.6}]"


def tuned(method: str, each: dict[str, str], shared: str = "{}", models: str = "abc") -> str:
    """A recipe with a base, and settings for each model."""
    entries = ""
    for name in models:
        entries += f"  - {{model: {name}, parameters: {{{each[name] if name in each else each['']}}}}}\n"
    return f"merge_method: {method}\nbase_model: base\nmodels:\n{entries}parameters: {shared}\ndtype: float32\n"


CASES = {
    "linear": tuned("linear", {"": "weight: 1", "b": "weight: 0.3"}).replace("base_model: base\n", ""),
    "linear sum": tuned("linear", {"": "weight: 0.5", "c": "weight: -0.2"}, "{normalize: false}").replace(
        "base_model: base\n", ""
    ),
    "linear filters": tuned("linear", {"": "weight: 0.5", "a": f"weight: {FILTERS}"}).replace("base_model: base\n", ""),
    "slerp": tuned("slerp", {"": ""}, "{t: 0.3}", "a"),
    "slerp gradient": tuned("slerp", {"": ""}, f"{{t: {GRADIENT}}}", "a"),
    "slerp filters": tuned("slerp", {"": ""}, f"{{t: {FILTERS}}}", "b"),
    "slerp ends": tuned("slerp", {"": ""}, "{t: [1, 0]}", "c"),
    "task_arithmetic": tuned("task_arithmetic", {"": "weight: 0.7", "b": "weight: -0.4"}, "{lambda: 1.3}"),
    "task_arithmetic mean": tuned("task_arithmetic", {"": "weight: 0.7"}, "{normalize: true}"),
    "ties": tuned("ties", {"": "weight: 1, density: 0.5"}),
    "ties weights": tuned("ties", {"": "weight: 0.5, density: 0.3", "b": "weight: 1.5, density: 0.8"}, "{lambda: 0.6}"),
    "ties sum": tuned("ties", {"": "weight: 0.5, density: 0.3"}, "{normalize: false, int8_mask: true}"),
    "ties gradient": tuned("ties", {"": f"weight: {FILTERS}, density: [0.2, 1.0]"}),
    "ties negative": tuned("ties", {"": "weight: 1, density: 0.5", "c": "weight: -0.4, density: 0.5"}),
    "ties all": tuned("ties", {"": "weight: 1, density: 1"}),
    "ties text": tuned("ties", {"": "weight: 1e-1, density: 5e-1"}, "{lambda: 1e0}"),
    "model_stock": tuned("model_stock", {"": ""}),
    "passthrough": """
merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 3]}]
  - sources: [{model: b, layer_range: [1, 4], parameters: {scale: [{filter: down_proj, value: 0.5}, {value: 1.0}]}}]
dtype: float32
""",
    "slices": f"""
merge_method: slerp
base_model: base
slices:
  - sources: [{{model: base, layer_range: [0, 3]}}, {{model: a, layer_range: [1, 4]}}]
    parameters: {{t: {GRADIENT}}}
  - sources: [{{model: a, layer_range: [2, 3]}}, {{model: base, layer_range: [3, 4]}}]
parameters: {{t: [0.1, 0.9]}}
dtype: float32
""",
}
MASKED = {  # what is random is given
    "dare_linear": tuned("dare_linear", {"": "weight: 0.5, density: 0.6", "b": "weight: 0.9, density: 0.3"}),
    "dare_linear plain": tuned("dare_linear", {"": "weight: 0.5, density: 0.6"}, "{rescale: false, normalize: true}"),
    "dare_ties": tuned(
        "dare_ties", {"": "weight: 0.5, density: 0.6", "b": "weight: 0.9, density: 0.3"}, "{lambda: 0.8}"
    ),
    "dare_ties mean": tuned("dare_ties", {"": "weight: 0.5, density: 0.4"}, "{normalize: true}"),
}
