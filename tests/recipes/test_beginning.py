"""What runs of tuning begin with: a model by path or name, its template, how many steps, and how it trains."""

from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.recipes import beginning

ROOT = Path(__file__).parents[2]
TALES_MODEL = ROOT / "chapters" / "tales_model"
PACKED = ROOT / "tests" / "families" / "fixtures" / "gguf" / "tied.gguf"


def test_a_model_is_opened_with_its_tokenizer():
    model, tokenizer = beginning.open_model(str(TALES_MODEL))
    assert model.spec.vocab_size == len(tokenizer)
    kinds = [{type(m).__name__ for _, m in beginning.open_model(PACKED, packed=p)[0].named_modules()} for p in (0, 1)]
    assert "PackedLinear" in kinds[1] - kinds[0]
    assert "PackedLinear" not in {
        type(m).__name__ for _, m in beginning.open_model(TALES_MODEL, packed=True)[0].named_modules()
    }
    with pytest.raises(FileNotFoundError, match="there is no model nowhere: give a path, or the name of one to fetch"):
        beginning.open_model("nowhere")


def test_large_begins_at_a_number_of_parameters():
    class Model:
        parameter_count = beginning.LARGE - 1

    assert not beginning.is_large(Model)
    Model.parameter_count += 1
    assert beginning.is_large(Model)


def tokenizer(special, template=None):
    found = lfs.Tokenizer.train("the dog met a fox " * 20, 300, special_tokens=special, roles={"eos": special[0]})
    found.chat_template = template
    return found


def test_which_template():
    ours = tokenizer(["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"])
    plain, bare = tokenizer(["</s>"]), tokenizer(["<|stop|>"])

    def says(found, *names):
        talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        return beginning.chosen_template(found, *names).render(talk)

    assert says(ours, None).endswith("<|user|>a<|end|><|assistant|>b<|end|>")
    assert "ASSISTANT: b</s>" in says(plain, None, "vicuna")
    assert says(ours, None, "chatml") == says(ours, None)  # it has no <|im_end|>, at which it could stop
    assert "<|im_end|>" in says(ours, "chatml", "tales")  # unless that is what is asked for
    own = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    own.chat_template = beginning.find_template(own, "alpaca")
    assert "### Response" in says(own, None, "tales") and "### Response" not in says(own, "tales")
    for named in ("tales", "chatml"):
        with pytest.raises(ValueError, match="without a chat template.*name another with --template"):
            beginning.chosen_template(bare, None, named)


def test_steps_and_tokens():
    pair = {"chosen_ids": [1, 2, 3], "rejected_ids": [1], "chosen_targets": [1] * 9, "weight": 1.0}
    assert beginning.tokens_of(pair) == 4
    assert beginning.steps_of(400, [pair], 10) == 10
    assert beginning.steps_of(400, [pair, pair], 10, of=1) == 5  # both are about one prompt
    assert beginning.steps_of(1, [pair], 10) == 1


def test_how_a_run_trains():
    given = {"threads": 3, "seed": 5, "checkpoint_every": None}
    made = beginning.training_settings(given, 10, 1e-2, warmup=50, evaluations=4)
    assert (made.steps, made.learning_rate, made.final_learning_rate) == (10, 1e-2, 1e-2 / 20)
    assert (made.warmup, made.threads, made.seed) == (10, 3, 5)
    assert made.evaluate_every == made.checkpoint_every == 3
    none = {**given, "checkpoint_every": 0}
    made = beginning.training_settings(none, 10, 1e-2, warmup=2, evaluations=40, weight_decay=0.0, seed=7)
    assert (made.warmup, made.evaluate_every, made.checkpoint_every) == (2, 1, 0)
    assert (made.weight_decay, made.seed) == (0.0, 7)
    saving = {"storage": "bfloat16", "stochastic_rounding": False, "recompute": True, "shard_optimizer": True}
    made = beginning.training_settings({**given, **saving}, 10, 1e-2, warmup=2, evaluations=4)
    assert {name: getattr(made, name) for name in saving} == saving
