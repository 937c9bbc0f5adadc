"""Many ranks equal one process, whatever trains; and what is said when ranks are not alike. Ranks are threads here."""

import itertools

import numpy as np
import pytest
from running import Rows, go, largest_difference, over, tiny

import llm_from_scratch as lfs
from llm_from_scratch.parallel import RankExchange, run_ranks
from llm_from_scratch.training import read_statistics
from llm_from_scratch.training import run as training_run
from llm_from_scratch.training.checkpoint import latest_checkpoint
from llm_from_scratch.training.workers import available_cores

CASES = {
    "AdamW": {},
    "Adam": {"optimizer": "adam"},
    "Lion": {"optimizer": "lion"},
    "SGD": {"optimizer": "sgd"},
    "micro-batches": {"micro_batches": 2},
    "recomputed": {"recompute": True},
    "threads in each rank": {"threads": 6},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_many_ranks_equal_one(case, ranks):
    alone, wanted = go(**CASES[case])
    several = run_ranks(ranks, lambda end: over(end, **CASES[case]))
    shared = run_ranks(ranks, lambda end: over(end, shard_optimizer=True, **CASES[case]))
    for outcome, weights in several:
        assert abs(outcome.loss - alone.loss) < 1e-12 and outcome.tokens == alone.tokens
        assert abs(outcome.validation["loss"] - alone.validation["loss"]) < 1e-12
        assert largest_difference(weights, wanted) < 1e-12
        assert largest_difference(weights, several[0][1]) == 0
    for outcome, weights in shared:  # to the bit
        assert outcome.loss == several[0][0].loss and largest_difference(weights, several[0][1]) == 0


def test_an_evaluation_is_that_of_one_process():
    model, batches, lengths = tiny("float64"), [next(Rows()) for _ in range(2)], np.arange(1, 100)
    lengths = lengths[: model.config["vocab_size"]]
    alone = lfs.training.evaluate(model, batches, token_bytes=lengths, threads=1)
    for ranks in (2, 3):
        for found in run_ranks(
            ranks,
            lambda end: lfs.training.evaluate(
                model, batches, token_bytes=lengths, threads=1, exchange=RankExchange(end)
            ),
        ):
            assert found.keys() == alone.keys() and "bits_per_byte" in found
            assert all(abs(found[name] - alone[name]) < 1e-12 * abs(alone[name]) for name in alone)


@pytest.mark.parametrize("other", [[Rows(), Rows(), Rows()], [Rows(), Rows(other=True)]])
def test_ranks_that_evaluate_other_batches_are_named(other):
    """A number of batches more, or another token."""

    def evaluate(end):
        samplers = other if end.rank == 1 else [Rows(), Rows()]
        batches = [next(s) for s in samplers for _ in range(2)]
        return lfs.training.evaluate(tiny(), batches, threads=1, exchange=RankExchange(end))

    with pytest.raises(ValueError, match="rank 1 is not like rank 0: what is evaluated.checksum is"):
        run_ranks(2, evaluate)


@pytest.mark.parametrize("chosen", [{}, {"storage": "bfloat16"}, {"storage": "bfloat16", "stochastic_rounding": False}])
def test_shares_change_no_bit_in_float32(chosen):
    several = run_ranks(3, lambda end: over(end, dtype="float32", **chosen))
    shared = run_ranks(3, lambda end: over(end, dtype="float32", shard_optimizer=True, **chosen))
    assert all(largest_difference(weights, several[0][1]) == 0 for _, weights in [*several, *shared])
    if not chosen:
        assert largest_difference(several[0][1], go(dtype="float32")[1]) < 1e-5


def test_each_rank_remembers_its_share_only():
    def remembered(end, shard):
        model = tiny("float32")
        kept = []

        def make(groups):
            kept.append(lfs.AdamW(groups, lr=1e-3))
            return kept[0]

        settings = lfs.TrainingSettings(steps=1, threads=1, shard_optimizer=shard)
        lfs.train(model, Rows(), settings, optimizer=make, exchange=RankExchange(end), progress=False)
        return sum(array.size for slot in kept[0]._slots.values() for array in slot.kept.values())

    whole = run_ranks(3, lambda end: remembered(end, False))
    shares = run_ranks(3, lambda end: remembered(end, True))
    assert len(set(whole)) == 1 and sum(shares) == whole[0]
    assert max(shares) - min(shares) <= 4  # numbers are divided, not parameters


def test_dropout_is_that_of_as_many_threads():
    def train(exchange, threads, micro_batches=1):
        model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, n_positions=16, vocab_size=32, seed=0)
        # Of two batches in all: in the third some rows count nothing.
        settings = lfs.TrainingSettings(steps=2 // micro_batches, micro_batches=micro_batches, threads=threads)
        return lfs.train(model, Rows(8), settings, exchange=exchange, progress=False).loss

    assert train(None, 4) != pytest.approx(train(None, 3), abs=1e-6)  # there is dropout
    for number in (1, 2):
        wanted = train(None, 4, number)
        for ranks, threads in ((2, 4), (4, 4), (4, 1)):
            found = run_ranks(ranks, lambda end, chosen=(threads, number): train(RankExchange(end), *chosen))
            assert found == pytest.approx([wanted] * ranks, abs=1e-6)


@pytest.mark.parametrize("rows, ranks, threads", [(10, 3, 6), (5, 2, 8), (4, 2, 16), (7, 3, 3), (6, 2, 2)])
@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_shards_are_those_of_one_process(family, rows, ranks, threads):
    """Dropout is drawn, and the load of experts balanced, a shard at a time: so ranks share out shards, not rows. Here
    some ranks have more rows than others, fewer than threads, or none that counts."""
    built = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 16}
    if family == "mixtral":
        built = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
        built |= {"intermediate_size": 8, "num_local_experts": 4, "num_experts_per_tok": 2}
        built |= {"router_aux_loss_coef": 1.0, "output_router_logits": True}

    def train(exchange=None, threads=threads):
        model = lfs.build(family, **built, vocab_size=32, seed=0).astype(np.float64)
        settings = lfs.TrainingSettings(steps=2, micro_batches=2, threads=threads, learning_rate=1e-2)
        lfs.train(model, Rows(rows), settings, exchange=exchange, progress=False)
        return {name: p.data.copy() for name, p in model.named_parameters()}

    wanted = train()
    assert largest_difference(train(threads=1), wanted) > 1e-6
    for weights in run_ranks(ranks, lambda end: train(RankExchange(end, bucket=500))):
        assert largest_difference(weights, wanted) < 1e-12


def test_experts_that_no_rank_or_one_rank_uses():
    """A parameter without a gradient is left alone, and its steps are not counted: everywhere the same."""

    def train(exchange, shard=False):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
        experts = {"intermediate_size": 8, "num_local_experts": 6, "num_experts_per_tok": 1}
        model = lfs.build("mixtral", **sizes, **experts, vocab_size=32, seed=0)
        for parameter in model.parameters():
            parameter.data = parameter.data.astype(np.float64)

        @lfs.objective(count=lambda batch: len(batch["ids"]))
        def first_tokens(model, batch, *, normaliser, rng=None):  # two tokens a row meet few experts
            return model(batch["ids"][:, :2]).sum() / normaliser

        settings = lfs.TrainingSettings(steps=4, threads=1, shard_optimizer=shard, learning_rate=1e-2)
        lfs.train(model, Rows(3), settings, objective=first_tokens, exchange=exchange, progress=False)
        return {name: p.data.copy() for name, p in model.named_parameters()}

    wanted = train(None)
    for shard in (False, True):
        for weights in run_ranks(3, lambda end, shard=shard: train(RankExchange(end, bucket=500), shard)):
            assert largest_difference(weights, wanted) < 1e-12


def test_statistics_are_those_of_all_rows(tmp_path):
    go(None, tmp_path / "one", statistics_every=2, threads=2)
    several = tmp_path / "two"
    run_ranks(2, lambda end: over(end, directory=several, statistics_every=2, threads=2, shard_optimizer=True))
    wanted, found = read_statistics(tmp_path / "one"), read_statistics(several)
    assert [entry["step"] for entry in found] == [2, 4, 6]
    for mine, theirs in zip(found, wanted):
        for part in ("activations", "parameters"):
            assert mine[part].keys() == theirs[part].keys()
            for name, figures in theirs[part].items():
                assert mine[part][name] == pytest.approx(figures, rel=1e-4, abs=1e-9), name


def test_only_rank_0_writes_and_speaks(tmp_path):
    said = {rank: [] for rank in range(3)}

    def train(end):
        model = tiny()
        exchange = RankExchange(end)
        settings = lfs.TrainingSettings(steps=3, checkpoint_every=1, threads=1)
        report = said[end.rank].append
        return lfs.train(model, Rows(), settings, directory=tmp_path, exchange=exchange, report=report, progress=False)

    run_ranks(3, train)
    with pytest.raises(ValueError, match="already holds a run"):
        run_ranks(3, train)
    assert said[1] == said[2] == []
    lines = [line for line in (tmp_path / "log.jsonl").read_text().splitlines() if "grad_norm" in line]
    assert len(lines) == 3


@pytest.mark.parametrize("before, after", [(1, 3), (3, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path, before, after):
    _, wanted = go(steps=6)

    def stop(step, loss, model):
        if step == 3:
            raise RuntimeError("here it ends")

    with pytest.raises(RuntimeError):
        run_ranks(before, lambda end: over(end, directory=tmp_path, on_step=stop, shard_optimizer=before == 2))
    assert latest_checkpoint(tmp_path).name == "step-3"
    shard = after == 3
    found = run_ranks(after, lambda end: over(end, directory=tmp_path, resume=True, shard_optimizer=shard))
    assert all(largest_difference(weights, wanted) < 1e-12 for _, weights in found)


def test_a_snapshot_does_not_know_how_many_wrote_it(tmp_path):
    go(None, tmp_path / "one", steps=2)
    run_ranks(3, lambda end: over(end, directory=tmp_path / "three", steps=2))
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert len({(tmp_path / run / "step-2" / name).stat().st_size for run in ("one", "three")}) == 1
    one, three = (sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("one", "three"))
    assert one == three


def test_more_ranks_than_rows_are_refused_before_the_first_step(tmp_path):
    with pytest.raises(ValueError, match="3 ranks and 2 rows in a batch.*at most 2 ranks"):
        run_ranks(3, lambda end: over(end, directory=tmp_path, rows=2))
    assert latest_checkpoint(tmp_path) is None


UNLIKE = {
    "settings": ({"learning_rate": 0.5}, "rank 1 is not like rank 0: settings.learning_rate is 0.5, not 0.01"),
    "how often it is saved": ({"checkpoint_every": 7}, "settings.checkpoint_every is 7, not 1"),
    "kinds of numbers": ({"dtype": "float32"}, "numbers.embedding.weight is .float32"),
    "what is called": ({"on_step": lambda *_: None}, "called with.on_step is true, not false"),
    "the model": ({"built": {"rms_norm_eps": 0.5}}, "model.config.rms_norm_eps is 0.5, not"),
    "what it is": ({"identity": {"text": "b"}}, 'identity.text is "b", not missing'),
    "weights": ({"built": {"seed": 1}}, "rank 1 is not like rank 0: weights is"),
    "data": ({"other": True}, "rank 1 has read another batch than rank 0"),
}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("case", UNLIKE)
def test_ranks_that_are_not_alike_are_named(case, written, tmp_path):
    own, message = UNLIKE[case]
    directory = tmp_path if written else None
    with pytest.raises(ValueError, match=message):
        run_ranks(2, lambda end: over(end, directory=directory, **(own if end.rank == 1 else {})))


def test_other_versions_are_named(monkeypatch):
    class Asked(RankExchange):
        def agree(self, what):
            assert what()["environment"]["llm_from_scratch"] == lfs.__version__
            super().agree(what)

    looks = itertools.count()
    monkeypatch.setattr(training_run, "environment", lambda: {"numpy": f"2.{next(looks)}"})
    with pytest.raises(ValueError, match=r'is not like rank 0: environment.numpy is "2.\d", not "2.\d"'):
        run_ranks(3, lambda end: go(Asked(end)))


def test_a_diverged_run_says_so_on_every_rank():
    with pytest.raises(ValueError, match="step 2: the (loss|gradient)"):
        run_ranks(2, lambda end: over(end, dtype="float32", optimizer="sgd", learning_rate=1e30, clip=0.0))


@pytest.mark.parametrize("shard", [False, True])
def test_weights_lost_on_one_rank_are_named_by_all(shard):
    said = []

    def train(end):
        def lose(step, loss, model):
            if step == 2 and end.rank == 1:
                model.norm.weight.data[3] = np.nan

        try:
            over(end, on_step=lose, shard_optimizer=shard)
        except ValueError as error:
            said.append(str(error))

    run_ranks(3, train)
    assert len(said) == 3 and len(set(said)) == 1
    assert "step 3: the loss is nan" in said[0]
    assert "The weights of norm.weight are not finite any more, on rank 1 but not on all." in said[0]


def test_an_error_in_one_rank_reaches_who_waits():
    def fails(step, loss, model):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_ranks(3, lambda end: over(end, on_step=fails if end.rank == 2 else lambda *_: None))


def test_values_and_order_of_what_is_done_once():
    done = []

    def work(end):
        exchange = RankExchange(end)
        alone = exchange.alone(lambda: {"from": end.rank, "text": "é", "number": 0.1})
        exchange.first(lambda: done.append(end.rank))
        return alone, exchange.gather([end.rank]), exchange.any(end.rank == 1), exchange.any(False), exchange.sum(0.5)

    found = run_ranks(3, work)
    assert found == [({"from": 0, "text": "é", "number": 0.1}, [[0], [1], [2]], True, False, 1.5)] * 3
    assert done[0] == 0 and sorted(done) == [0, 1, 2]
    assert run_ranks(3, lambda end: RankExchange(end).cores()) == [available_cores()] * 3  # of one machine, once
