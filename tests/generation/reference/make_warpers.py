"""Freezes what transformers makes of logits: python make_warpers.py > warpers.json (needs transformers, torch)."""

from __future__ import annotations

import json

CASES = [
    {"temperature": 0.7, "top_k": 12, "top_p": 0.8, "repetition_penalty": 1.3},
    {"temperature": 1.6, "top_k": 5, "top_p": 0.6},
    {"temperature": 0.3, "top_p": 0.95, "repetition_penalty": 0.8},
    {"temperature": 1.0, "top_p": 0.1},
    {"temperature": 1.0, "top_k": 1},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"temperature": 2.5, "min_p": 0.2},
    {"typical_p": 0.2},
    {"typical_p": 0.9},
    {"temperature": 0.5, "top_k": 9, "typical_p": 0.6},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.4},
    {"temperature": 1.3, "top_k": 25, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.7, "repetition_penalty": 1.2,
     "no_repeat_ngram_size": 2},
]  # fmt: skip


def main() -> None:
    # Imported here, so that collecting this file for doctests needs neither library.
    import numpy as np
    import torch
    import transformers

    config = transformers.GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=40, bos_token_id=None, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config)
    rng = np.random.default_rng(2023)
    out = []
    for settings in CASES:
        logits = (rng.normal(size=40) * 3).round(4)
        seen = rng.integers(0, 40, size=10)
        if "no_repeat_ngram_size" in settings:  # 3 and 7 may follow, the ends of two earlier runs of three
            seen = np.array([1, 2, 3, 5, 1, 2, 7, 7, 1, 2])
        # The chain as transformers' generate() puts it together.
        asked = transformers.GenerationConfig(do_sample=True, **settings)
        chain = model._get_logits_processor(asked, input_ids_seq_length=len(seen))
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
