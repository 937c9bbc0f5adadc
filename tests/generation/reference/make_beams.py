"""Freezes the transformers library's beam search: python make_beams.py > beams.json (needs transformers, torch).

On tables of log-probabilities, where what comes next depends on the last token alone, and on tiny random models of
tests/families/fixtures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "families" / "fixtures"
PENALTIES = [-1.5, 0.0, 0.5, 1.0, 3.0]
MODELS = ["gpt2_tied", "llama_gqa", "mistral_window", "opt_pre", "falcon_rw", "mamba_tied"]


def table_settings() -> list[dict[str, Any]]:
    """Every length penalty with every number of beams, and what goes with few of them."""
    cases = [
        {"num_beams": beams, "length_penalty": penalty, "stops": [1], "max_new_tokens": 7}
        for beams in (2, 3, 5)
        for penalty in PENALTIES
    ]
    cases += [{"num_beams": 4, "length_penalty": p, "stops": stops, "max_new_tokens": 6}
              for p in (1.0, -0.5) for stops in ([], [1, 4], [0, 1, 2])]  # fmt: skip
    cases += [{"num_beams": 3, "length_penalty": 1.0, "stops": [1], "max_new_tokens": 9, **more}
              for more in ({"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 2},
                           {"repetition_penalty": 0.8, "no_repeat_ngram_size": 3})]  # fmt: skip
    cases += [{"num_beams": 3, "length_penalty": 1.0, "stops": [1], "max_new_tokens": n} for n in (1, 2, 30)]
    return cases


def main() -> None:
    # Imported here, so that collecting this file for doctests needs none of them.
    import numpy as np
    import torch
    import transformers
    from transformers.modeling_outputs import CausalLMOutput

    transformers.logging.set_verbosity_error()

    class Table(transformers.PreTrainedModel, transformers.GenerationMixin):
        config_class = transformers.GPT2Config
        _no_split_modules: list[str] = []

        def __init__(self, table: Any) -> None:
            super().__init__(transformers.GPT2Config(vocab_size=len(table), bos_token_id=None, eos_token_id=None))
            self.table = torch.nn.Parameter(torch.tensor(table, dtype=torch.float32))

        def prepare_inputs_for_generation(self, input_ids: Any, **_: Any) -> dict[str, Any]:
            return {"input_ids": input_ids}

        def forward(self, input_ids: Any, **_: Any) -> Any:
            return CausalLMOutput(logits=self.table[input_ids])

    def run(model: Any, prompt: Any, asked: dict[str, Any], **more: Any) -> dict[str, Any]:
        settings = {key: value for key, value in asked.items() if key != "stops"}
        ends = asked["stops"] or None
        out = model.generate(
            torch.tensor(prompt), do_sample=False, eos_token_id=ends, pad_token_id=0, output_scores=True,
            return_dict_in_generate=True, early_stopping=False, **settings, **more,
        )  # fmt: skip
        new = [row[len(prompt[0]) :].tolist() for row in out.sequences]
        cut = [next((k + 1 for k, t in enumerate(row) if t in asked["stops"]), len(row)) for row in new]
        scores = [round(float(score), 6) for score in out.sequences_scores]
        return {"settings": asked, "prompt": prompt, "new": [row[:k] for row, k in zip(new, cut)], "scores": scores}

    rng = np.random.default_rng(2023)
    tables = []
    for number, asked in enumerate(table_settings()):
        vocabulary = (6, 7, 9)[number % 3]
        table = (rng.normal(size=(vocabulary, vocabulary)) * 1.5).round(3)
        prompt = rng.integers(0, vocabulary, (2, 3)).tolist()
        tables.append({"table": table.tolist(), **run(Table(table), prompt, asked, use_cache=False)})

    models = []
    for name in MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / name).eval()
        prompt = rng.integers(3, model.config.vocab_size, (2, 5))
        seen = np.ones_like(prompt)
        prompt[1, :2] = seen[1, :2] = 0
        for beams, penalty, stops in ((2, 1.0, []), (4, 1.0, [5, 6, 7]), (3, -1.0, [8, 9]), (3, 2.0, [8, 9])):
            asked = {"num_beams": beams, "length_penalty": penalty, "stops": stops, "max_new_tokens": 8}
            found = run(
                model, prompt.tolist(), asked, attention_mask=torch.tensor(seen), use_cache=not name.startswith("mamba")
            )
            models.append({"model": name, "mask": seen.tolist(), **found})
    print(json.dumps({"transformers": transformers.__version__, "tables": tables, "models": models}))


if __name__ == "__main__":
    main()
