"""Freezes contrastive search: python make_contrastive.py > contrastive.json (needs transformers, torch).

The transformers library has dropped its own. So this is the paper's equation, on the library's models and their hidden
states, without a cache: every candidate is read with all that stands before it. What comes close to a tie is noted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "families" / "fixtures"
MODELS = ["gpt2_tied", "llama_gqa", "mistral_window", "neox_pythia", "mamba_tied"]


def main() -> None:
    # Imported here, so that collecting this file for doctests needs none of them.
    import numpy as np
    import torch
    import transformers
    from torch.nn.functional import cosine_similarity

    def read(model: Any, text: list[int]) -> tuple[Any, Any]:
        with torch.no_grad():
            out = model(torch.tensor([text]), output_hidden_states=True, use_cache=False)
        return out.hidden_states[-1][0], out.logits[0, -1]

    rng = np.random.default_rng(2023)
    cases = []
    for name in MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / name).eval().double()
        for alpha, k in ((0.6, 4), (0.3, 2), (0.9, 7)):
            prompt = rng.integers(3, model.config.vocab_size, 5).tolist()
            text, margin = list(prompt), float("inf")
            for _ in range(12):
                states, logits = read(model, text)
                probabilities = torch.softmax(logits, -1)
                candidates = torch.topk(logits, k).indices.tolist()
                values = []
                for candidate in candidates:
                    state = read(model, [*text, candidate])[0][-1]
                    likeness = cosine_similarity(states, state[None], dim=-1).max()
                    values.append(float((1 - alpha) * probabilities[candidate] - alpha * likeness))
                best = int(np.argmax(values))
                margin = min(margin, values[best] - max(values[:best] + values[best + 1 :]))
                text.append(candidates[best])
            cases.append({"model": name, "penalty_alpha": alpha, "top_k": k, "prompt": prompt,
                          "new": text[len(prompt) :], "margin": margin})  # fmt: skip
    print(json.dumps({"transformers": transformers.__version__, "cases": cases}))


if __name__ == "__main__":
    main()
