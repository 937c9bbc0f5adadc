"""Whatever the commands train, over ranks: each objective and adapter to its end, equal to one process. Threads here.

Where answers are sampled (PPO, on-policy distillation), equal means: every rank samples all of them with the random
numbers of one process, from weights that are those of the other ranks to the bit and of one process to rounding. So
the answers are the same tokens, unless a draw falls within rounding of the border between two: in float64 none does.
"""

import numpy as np
import pytest
from running import FEW_BYTES, Rows, largest_difference

import llm_from_scratch as lfs
from llm_from_scratch.files import download
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.parallel import RankExchange, run_ranks
from llm_from_scratch.recipes import adapting, aligning, finetuning
from llm_from_scratch.recipes.techniques import TECHNIQUES
from llm_from_scratch.recipes.tuning import carry_out, state_of
from llm_from_scratch.training import read_log

FEW = {"steps": 4, "batch": 4, "threads": 1, "evaluations": 2, "held_out": 6}
ANSWERS = {"prompts": 3, "max_new_tokens": 4}
SAMPLED = {"training_prompts": 8, "reward_tokens": 1500, "max_new_tokens": 6, "kinds": "taught"}
PPO = {**SAMPLED, "answers": 8, "minibatch": 4}
ALIGNED = {
    **{name: {} for name in ("dpo", "cdpo", "ipo", "hinge", "crlft", "apa", "awr", "reward")},
    "kto": {"mismatched": 8, "estimate": 4},
    "rejection": {**SAMPLED, "answers": 2},
    "ppo": PPO,
}
VARIANTS = {
    "ipo per token": ("ipo", {"per_token": True}),
    "ppo, true score": ("ppo", {**PPO, "reward": "true", "critic": "policy", "score_normalisation": "running"}),
    "ppo, KL adapted": ("ppo", {**PPO, "reward": "true", "critic": "shared", "kl_target": 1.0, "kl_horizon": 20}),
}
TAUGHT = {
    "supervised": {},
    "noise on embeddings": {"noise": 5.0},
    "LoRA beside all matrices": {"lora": 2},
    "distilled": {"teacher": True, "distill": "jensen-shannon", "hard": 0.3},
    "distilled on policy": {"teacher": True, "distill": "reverse", "on_policy": 0.8, "max_new_tokens": 6},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model in float64 with the tales' tokenizer, and a teacher."""
    tokenizer = lfs.Tokenizer.train("Who was it? It was the bear. " * 9, 300, special_tokens=TURNS, roles=ROLES)
    found = []
    for seed in (0, 1):
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
        model = lfs.build("llama", **sizes, max_position_embeddings=1024, vocab_size=len(tokenizer), seed=seed)
        found.append(tmp_path_factory.mktemp("model"))
        model.astype(np.float64).save_pretrained(found[-1], dtype=np.float64)
        tokenizer.save(found[-1])
    return list(map(str, found))


TURNS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
ROLES = {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))


def train(directory, command, make, settings, ranks):
    """The report, the numbers that stand in the last snapshot, and the log; of several ranks all have one report."""
    how = {"say": lambda text: None, "progress": False}

    def work(end):
        exchange = RankExchange(end, bucket=FEW_BYTES)
        return carry_out(directory, command, make, settings, exchange=exchange, **how)

    reports = run_ranks(ranks, work) if ranks > 1 else [carry_out(directory, command, make, settings, **how)]
    assert all(report["after"] == reports[0]["after"] for report in reports)
    (snapshot,) = directory.glob("step-4")
    return reports[0], read_safetensors(snapshot / "model.safetensors"), read_log(directory)


def equal(tmp_path, command, make, settings, *, most=1e-12, sharded=False):
    """Two ranks (sharded: three, each with its share of the optimiser) end where one process ends, to rounding, having
    logged the same."""
    one, wanted, log = train(tmp_path / "one", command, make, settings, 1)
    begun = make(settings).model
    assert all(array.dtype == np.float64 for array in wanted.values())
    assert largest_difference(wanted, {name: p.data for name, p in begun.named_parameters()}) > 1e-6  # it has learned
    several = tmp_path / "several"
    chosen = {**settings, "shard_optimizer": sharded}
    found, weights, lines = train(several, command, make, chosen, 3 if sharded else 2)
    assert state_of(several) == "finished" and found["steps"] == 4 and found["counted"] == one["counted"]
    assert largest_difference(weights, wanted) < most
    for when in ("before", "after"):
        assert found[when]["samples"] == one[when]["samples"]
        assert found[when]["figures"] == pytest.approx(one[when]["figures"], abs=1e-9)
    assert [sorted(line) for line in lines] == [sorted(line) for line in log]
    for mine, theirs in zip(lines, log):
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", [*ALIGNED, *VARIANTS])
def test_alignment(method, models, tmp_path):
    name, own = VARIANTS.get(method, (method, ALIGNED.get(method)))
    assert ALIGNED.keys() == aligning.METHODS.keys()
    given = {**FEW, **ANSWERS, **own}
    settings = aligning.resolved(name, model=models[0], data="tales", template="tales", **given)
    # A reward model's head begins with zeros: gradients of 1e-8, which Adam makes as large as others, rounding and all.
    most = 1e-10 if method == "reward" else 1e-12
    make = lambda s: aligning.prepare_run(s, say=lambda text: None)  # noqa: E731
    equal(tmp_path, "align", make, settings, most=most, sharded=method in ("ppo", "kto"))


@pytest.mark.parametrize("how", TAUGHT)
def test_finetuning(how, models, tmp_path):
    own = {**TAUGHT[how], "context": 128}
    if own.get("teacher"):
        own["teacher"] = models[1]
    own |= {"threads": 2} if "noise" in own else {}  # two ranks draw what one draws with two threads
    settings = finetuning.settings_of(models[0], "tales", **{**FEW, "template": "tales", **own})
    equal(tmp_path, "finetune", finetuning.prepare, settings, sharded=how == "distilled on policy")


@pytest.mark.parametrize("technique", [name for name in TECHNIQUES if name != "bitfit"])  # which needs biases
def test_adapters(technique, models, tmp_path):
    own = {"length": 4} if "length" in TECHNIQUES[technique].settings else {}
    settings = adapting.resolved(technique, model=models[0], data="tales", template="tales", **FEW, **own)
    equal(tmp_path, "adapt", adapting.prepare_run, settings, sharded=technique == "dora")


def test_what_ranks_sample_is_what_one_process_samples(models, tmp_path):
    """Token by token: the rollouts of every rank, in each iteration, with the weights that it has by then."""
    settings = aligning.resolved(
        "ppo", model=models[0], data="tales", template="tales", **{**FEW, **ANSWERS, **PPO, "lr": 1e-2}
    )

    def work(end=None):
        drawn = []

        def make(s):
            tuning = aligning.prepare_run(s, say=lambda text: None)
            tuning.sampler.on_iteration = lambda figures: drawn.append(
                [(row["ids"].tolist(), row["old_log_probabilities"], row["advantages"]) for row in tuning.sampler._rows]
            )
            return tuning

        exchange = None if end is None else RankExchange(end, bucket=FEW_BYTES)
        name = "one" if end is None else "several"
        carry_out(tmp_path / name, "align", make, settings, say=lambda text: None, progress=False, exchange=exchange)
        return drawn

    alone, several = work(), run_ranks(2, work)
    assert len(alone) == 2 and alone[0][0][0] != alone[1][0][0]
    for rank in several:
        for mine, theirs, first in zip(rank, alone, several[0], strict=True):
            for (ids, *numbers), (wanted, *figures), (_, *leader) in zip(mine, theirs, first, strict=True):
                assert ids == wanted
                for a, b, c in zip(numbers, figures, leader):
                    assert np.abs(a - b).max() < 1e-11 and np.array_equal(a, c)


def test_a_balanced_mixture_is_that_of_as_many_threads():
    """How evenly experts are used is no sum over rows: shards of a batch are balanced each by itself."""

    def train(exchange, threads):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
        experts = {
            "intermediate_size": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "router_aux_loss_coef": 1.0,
        }
        model = lfs.build("mixtral", **sizes, **experts, output_router_logits=True, vocab_size=32, seed=0)
        model.astype(np.float64)
        settings = lfs.TrainingSettings(steps=2, threads=threads, learning_rate=1e-2)
        lfs.train(model, Rows(6), settings, exchange=exchange, progress=False)
        return {name: p.data.copy() for name, p in model.named_parameters()}

    assert largest_difference(train(None, 2), train(None, 1)) > 1e-6
    for ranks, threads in ((2, 2), (3, 3), (2, 6)):
        wanted = train(None, threads)
        for weights in run_ranks(ranks, lambda end, n=threads: train(RankExchange(end, bucket=500), n)):
            assert largest_difference(weights, wanted) < 1e-12


def test_more_ranks_than_rows_are_refused_before_anything_is_written(models, tmp_path):
    settings = aligning.resolved(
        "ppo",
        model=models[0],
        data="tales",
        template="tales",
        **{**FEW, **ANSWERS, **PPO, "answers": 4, "minibatch": 2},
    )
    given = {
        "align": (lambda s: aligning.prepare_run(s, say=lambda text: None), settings),
        "finetune": (
            finetuning.prepare,
            finetuning.settings_of(models[0], "tales", **{**FEW, "batch": 2}, template="tales"),
        ),
    }
    for command, (make, chosen) in given.items():
        with pytest.raises(ValueError, match="there are 3 ranks and 2 rows in a batch"):
            train(tmp_path / command, command, make, chosen, 3)
        kept = {path.name for path in tmp_path.glob(f"{command}/*")} - {"writer.lock"}
        assert kept == set() and state_of(tmp_path / command) == "new"
