"""Log-probabilities over a data set: the same in any batch, any number of threads, and from the file."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.scoring import log_likelihoods
from llm_from_scratch.scoring.likelihoods import examples_digest, model_digest

SMALL = {
    "llama": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24},
    "mamba": {"num_hidden_layers": 2, "hidden_size": 16, "state_size": 4},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64},
    "mixtral": {
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 16,
        "intermediate_size": 24, "num_local_experts": 4,
    },
}  # fmt: skip


def build(family="gpt2", seed=0, **settings):
    return lfs.build(family, **{**SMALL[family], "vocab_size": 19, **settings}, seed=seed, dtype=np.float64)


def examples(count=7, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for length in rng.integers(1, 13, size=count):
        ids, targets = rng.integers(0, 19, size=(2, length))
        targets[: length // 2] = -100
        made.append({"ids": ids, "targets": targets, "name": "is not looked at"})
    return made


def one_by_one(model, rows):
    sums = []
    for row in rows:
        log_p = lfs.F.log_softmax(model(row["ids"][None])).data[0]
        sums.append(sum(log_p[t, target] for t, target in enumerate(row["targets"]) if target != -100))
    return np.array(sums)


@pytest.mark.parametrize("family", SMALL)
def test_is_the_sum_over_each_examples_targets(family):
    model, rows = build(family), examples()
    expected = one_by_one(model, rows)
    for settings in ({}, {"batch_tokens": 1}, {"batch_tokens": 30, "threads": 3}):
        found = log_likelihoods(model, rows, **settings)
        assert found.shape == (7,) and found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_per_token_is_what_is_summed(tmp_path):
    model, rows = build(), examples()
    sums = log_likelihoods(model, rows, cache=tmp_path)
    for settings in ({}, {"cache": tmp_path}, {"batch_tokens": 9}):
        tokens = log_likelihoods(model, rows, per_token=True, **settings)
        for row, values, total in zip(rows, tokens, sums):
            assert values.shape == row["ids"].shape and (values[row["targets"] == -100] == 0).all()
            assert values.sum() == pytest.approx(total, rel=1e-10)


def test_threads_and_neighbours_change_no_bit():
    model, rows = lfs.build("llama", **SMALL["llama"], vocab_size=19), examples(23)  # float32
    whole = log_likelihoods(model, rows, batch_tokens=40, threads=1)
    assert whole.tobytes() == log_likelihoods(model, rows, batch_tokens=40, threads=3).tobytes()
    assert whole.tobytes() == log_likelihoods(model, rows, batch_tokens=40).tobytes()


def test_no_batch_is_larger_than_asked_and_all_are_computed():
    seen = []

    class Watched:
        def token_log_probabilities(self, batch):
            seen.append(batch["ids"].shape)
            return lfs.Tensor(np.zeros(batch["ids"].shape))

    rows = examples(40)
    log_likelihoods(Watched(), rows, batch_tokens=24, threads=1)
    assert all(n * t <= 24 for n, t in seen) and sum(n for n, _ in seen) == 40
    assert len(seen) < 20  # short ones share a batch
    seen.clear()
    log_likelihoods(Watched(), rows, batch_tokens=3, threads=1)
    assert all(n == 1 or n * t <= 3 for n, t in seen) and sum(n for n, _ in seen) == 40


# --- The file


class Counted:
    """A model that says how often it was asked."""

    def __init__(self, model):
        self.model, self.asked = model, 0

    def weights(self):
        return self.model.weights()

    def describe(self):
        return self.model.describe()

    def token_log_probabilities(self, batch):
        self.asked += 1
        return self.model.token_log_probabilities(batch)


def test_is_computed_once(tmp_path):
    model, rows = Counted(build()), examples()
    first = log_likelihoods(model, rows, cache=tmp_path / "new" / "place")
    asked = model.asked
    again = Counted(build())
    assert log_likelihoods(again, rows, cache=tmp_path / "new" / "place").tobytes() == first.tobytes()
    assert asked > 0 and again.asked == 0
    assert len(list((tmp_path / "new" / "place").iterdir())) == 1


def test_other_weights_examples_or_order_are_computed_anew(tmp_path):
    model, rows = build(), examples()
    log_likelihoods(model, rows, cache=tmp_path)
    moved = build()
    next(moved.parameters()).data[0, 0] += 1e-9
    other = [dict(row) for row in rows]
    other[3] = {**other[3], "targets": np.where(other[3]["targets"] == -100, 5, other[3]["targets"])}
    for count, (one, these) in enumerate(
        ((moved, rows), (build(seed=1), rows), (model, other), (model, rows[::-1]), (model, rows[:6])), start=2
    ):
        found = log_likelihoods(one, these, cache=tmp_path)
        np.testing.assert_allclose(found, one_by_one(one, these), rtol=1e-10)
        assert len(list(tmp_path.iterdir())) == count


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "exchanged", "no file of ours"])
def test_a_damaged_file_is_said_to_be_and_made_anew(tmp_path, damage):
    model, rows, said = Counted(build()), examples(), []
    first = log_likelihoods(model, rows, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-3] ^= 1
    elif damage == "exchanged":  # a whole file, of other examples
        log_likelihoods(model, examples(seed=1), cache=tmp_path / "other")
        data = bytearray(next((tmp_path / "other").iterdir()).read_bytes())
    else:
        data = {"cut": data[:-5], "emptied": b"", "no file of ours": b"dear diary " * 9}[damage]
    path.write_bytes(data)
    asked = model.asked
    assert log_likelihoods(model, rows, cache=tmp_path, report=said.append).tobytes() == first.tobytes()
    assert model.asked > asked and len(said) == 1 and str(path) in said[0] and "computed again" in said[0]
    assert log_likelihoods(model, rows, cache=tmp_path, report=said.append).tobytes() == first.tobytes()
    assert len(said) == 1


def test_where_nothing_can_be_kept_what_was_computed_is_not_lost(tmp_path):
    said = []
    (tmp_path / "file").write_text("in the way")
    found = log_likelihoods(build(), examples(), cache=tmp_path / "file", report=said.append)
    np.testing.assert_allclose(found, one_by_one(build(), examples()), rtol=1e-10)
    assert len(said) == 1 and "is not kept" in said[0]


def test_a_killed_writer_leaves_no_half_a_file(tmp_path, monkeypatch):
    import os

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        log_likelihoods(build(), examples(), cache=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".safetensors"]


def test_digests_see_what_matters():
    assert model_digest(build()) == model_digest(build()) != model_digest(build(seed=1))
    assert model_digest(build()) != model_digest(lfs.build("gpt2", **SMALL["gpt2"], vocab_size=19))  # float32
    one = build()
    frozen = build()
    frozen.freeze()
    assert model_digest(frozen) == model_digest(one)
    rows = examples()
    assert examples_digest(rows) == examples_digest([{k: list(row[k]) for k in ("ids", "targets")} for row in rows])
    joined = [{name: np.concatenate([row[name] for row in rows[:2]]) for name in ("ids", "targets")}, *rows[2:]]
    assert examples_digest(joined) != examples_digest(rows)


# --- Errors, before anything is computed


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"ids": [1, 2], "targets": [-100, -100]}, "example 1 has no target: every one is -100"),
        ({"ids": [1, 2], "targets": [3]}, "example 1 has 2 ids and 1 targets"),
        ({"ids": [[1]], "targets": [[3]]}, r"example 1: ids must be a row of integers, got int64\(1, 1\)"),
        ({"ids": [], "targets": []}, "example 1: ids must be a row of integers"),
        ({"ids": [1.0], "targets": [3]}, "example 1: ids must be a row of integers, got float64"),
        ({"ids": [1]}, "example 1 must have 'ids' and 'targets'"),
        ([1, 2], "example 1 must have 'ids' and 'targets'"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_computed(example, message):
    model = Counted(build())
    with pytest.raises(ValueError, match=message):
        log_likelihoods(model, [{"ids": [1], "targets": [2]}, example])
    assert model.asked == 0


def test_other_errors():
    with pytest.raises(ValueError, match="there are no examples"):
        log_likelihoods(build(), [])
    for tokens in (0, True, 1.5):
        with pytest.raises(ValueError, match="batch_tokens must be a whole number of at least 1"):
            log_likelihoods(build(), examples(), batch_tokens=tokens)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        log_likelihoods(build(), [{"ids": [99], "targets": [1]}])
    broken = build()
    next(broken.parameters()).data[:] = np.nan
    with pytest.raises(ValueError, match="the model gives example 0 a log-probability of nan"):
        log_likelihoods(broken, examples())
