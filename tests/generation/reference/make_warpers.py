"""Freezes what transformers makes of logits: python make_warpers.py > warpers.json (needs transformers, torch)."""

from __future__ import annotations

import json

CASES = [
    {"temperature": 0.7, "top_k": 12, "top_p": 0.8, "repetition_penalty": 1.3},
    {"temperature": 1.6, "top_k": 5, "top_p": 0.6},
    {"temperature": 0.3, "top_p": 0.95, "repetition_penalty": 0.8},
    {"temperature": 1.0, "top_p": 0.1},
    {"temperature": 1.0, "top_k": 1},
]


def main() -> None:
    # Imported here, so that collecting this file for doctests needs neither library.
    import numpy as np
    import torch
    import transformers
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    rng = np.random.default_rng(2023)
    out = []
    for settings in CASES:
        logits = (rng.normal(size=40) * 3).round(4)
        seen = rng.integers(0, 40, size=10)
        # The order in which transformers' generate() puts them together.
        chain = LogitsProcessorList()
        if "repetition_penalty" in settings:
            chain.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
        chain.append(TemperatureLogitsWarper(settings["temperature"]))
        if "top_k" in settings:
            chain.append(TopKLogitsWarper(settings["top_k"]))
        if "top_p" in settings:
            chain.append(TopPLogitsWarper(settings["top_p"]))
        scores = chain(torch.tensor(seen)[None], torch.tensor(logits, dtype=torch.float64)[None])
        probabilities = torch.softmax(scores, -1)[0].numpy()
        out.append(
            {
                "settings": settings,
                "logits": logits.tolist(),
                "seen": seen.tolist(),
                "probabilities": probabilities.round(12).tolist(),
            }
        )
    print(json.dumps({"transformers": transformers.__version__, "cases": out}))


if __name__ == "__main__":
    main()
