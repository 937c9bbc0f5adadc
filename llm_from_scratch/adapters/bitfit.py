"""BitFit: the biases learn, and nothing else does. Nothing is added, so that the model is saved as it is.

Source: Ben Zaken et al. 2021, arXiv:2106.10199.
"""

from __future__ import annotations

from typing import Any

from .places import functions, kind_of


def train_biases(model: Any) -> list[str]:
    """Freeze everything but the biases; their names. ValueError for a model without any, such as a LLaMA.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=5, n_positions=4)
    >>> train_biases(model)[:2]
    ['layers.0.mixer_norm.bias', 'layers.0.mixer.query.bias']
    """
    biases = [name for name, _ in model.named_parameters() if name.endswith("bias")]
    if not biases:
        kinds = dict.fromkeys(kind_of(function) for function in functions(model).values())
        raise ValueError(f"BitFit trains biases, and this model has none: neither its {', '.join(kinds)} nor its norms")
    model.freeze()
    return model.unfreeze(lambda name, _: name in biases)
