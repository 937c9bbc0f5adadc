"""Value heads and reward models: the last real token, every family, saved and read back, what is refused."""

import json

import numpy as np
import pytest
from families_in_small import SIZES

from llm_from_scratch import build, from_pretrained
from llm_from_scratch.alignment import RewardModel, ValueHead
from llm_from_scratch.models.spec import ModelSpec

FAMILIES = {
    **SIZES,
    "opt": dict(hidden_size=16, word_embed_proj_dim=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=24,
                max_position_embeddings=32),
    "stripedhyena": dict(hidden_size=16, num_layers=2, num_filters=16, inner_mlp_size=24, state_size=2,
                         num_attention_heads=2, proj_groups=1, attn_layer_idxs=[1], hyena_layer_idxs=[0]),
}  # fmt: skip
IDS = np.array([[5, 6, 7, 8, 2], [9, 2, 2, 2, 2], [4, 4, 2, 2, 2]])  # 2 ends an answer, and is the padding too
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], bool)


def reward_model(family="llama", dtype=np.float64):
    model = build(family, vocab_size=19, seed=1, dtype=dtype, **FAMILIES[family])
    return RewardModel(model, ValueHead(model.embedding_width, scale=0.5, rng=np.random.default_rng(3)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reward_is_that_of_the_last_real_token_though_padding_equals_the_end(family):
    model = reward_model(family)
    together = model.rewards({"ids": IDS, "mask": MASK}).data
    for row, length in enumerate((5, 2, 4)):
        alone = model.rewards({"ids": IDS[row : row + 1, :length]}).data
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-9)
        states = model.model.states({"ids": IDS[row : row + 1, :length]}).data[0, -1]
        np.testing.assert_allclose(alone[0], states @ model.head.weight.data[:, 0] + model.head.bias.data[0], rtol=1e-9)
    assert len(set(together.round(6))) == 3


@pytest.mark.parametrize("family", ["llama", "mamba", "mixtral"])
def test_padding_on_the_left_changes_nothing_either(family):
    model = reward_model(family)
    ids, mask = np.array([[0, 0, 0, 9, 2], [5, 6, 7, 8, 2]]), np.array([[0, 0, 0, 1, 1], [1] * 5], bool)
    left = model.rewards({"ids": ids, "mask": mask}).data
    right = model.rewards({"ids": np.array([[9, 2, 0, 0, 0], [5, 6, 7, 8, 2]]), "mask": mask[:, ::-1] | (ids == 6)})
    np.testing.assert_allclose(left[0], model.rewards({"ids": [[9, 2]]}).data[0], rtol=1e-9)
    np.testing.assert_allclose(left, right.data, rtol=1e-9)


def test_values_look_back_alone():
    model = reward_model()
    whole = model.values({"ids": IDS}).data
    np.testing.assert_allclose(model.values({"ids": IDS[:, :3]}).data, whole[:, :3], rtol=1e-9)
    assert whole.shape == (3, 5)


def test_a_new_head_ties_everything_and_takes_the_models_dtype():
    for dtype in (np.float32, np.float64):
        model = RewardModel(build("llama", vocab_size=19, dtype=dtype, **FAMILIES["llama"]))
        rewards = model.rewards({"ids": IDS, "mask": MASK})
        assert np.all(rewards.data == 0) and rewards.dtype == dtype
        assert model.head.weight.size == 16


@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_frozen_stays_and_the_head_learns(frozen):
    model = reward_model("gpt2")  # whose head is tied to the embedding
    if frozen:
        model.model.freeze()
    model.rewards({"ids": IDS, "mask": MASK}).sum().backward()
    got = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {"head.weight", "head.bias"} <= got and ("model.embedding.weight" in got) is not frozen
    assert frozen is (len(got) == 2)


def test_centred_rewards_have_mean_zero():
    model = reward_model()
    before = model.rewards({"ids": IDS, "mask": MASK}).data
    batches = [{"ids": IDS[:1], "mask": MASK[:1]}, {"ids": IDS[1:], "mask": MASK[1:]}]
    assert model.center(batches) == pytest.approx(before.mean())
    after = model.rewards({"ids": IDS, "mask": MASK}).data
    np.testing.assert_allclose(after, before - before.mean(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_read_again_it_is_the_same_to_the_bit(tmp_path, family, dtype):
    model = reward_model(family, dtype)
    model.save_pretrained(tmp_path)
    again = RewardModel.from_pretrained(tmp_path)
    batch = {"ids": IDS, "mask": MASK}
    assert model.rewards(batch).data.tobytes() == again.rewards(batch).data.tobytes()
    assert np.array_equal(from_pretrained(tmp_path)(IDS).data, model.model(IDS).data)  # beside it, the decoder alone
    wide = RewardModel.from_pretrained(tmp_path, np.float64)
    assert wide.dtype == wide.rewards(batch).dtype == np.float64


def test_a_model_of_no_family_is_saved_too(tmp_path):
    model = reward_model()
    model.model.config = {}
    assert isinstance(model.model.spec, ModelSpec)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "spec.json").exists()
    again = RewardModel.from_pretrained(tmp_path)
    assert np.array_equal(again.rewards({"ids": IDS}).data, model.rewards({"ids": IDS}).data)


def test_directories_that_hold_no_reward_model_are_refused(tmp_path):
    model = reward_model()
    model.model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no value_head.json: it is no reward model; RewardModel"):
        RewardModel.from_pretrained(tmp_path)
    path = tmp_path / "value_head.json"
    good = {"format": "llm_from_scratch value head 1", "weight": [0.5] * 16, "bias": [0.0]}
    for change, message in (
        ({"format": "other"}, "'format' must be"),
        ({"weight": [0.5] * 8}, "'weight' must be 16 numbers, as the model beside it"),
        ({"weight": ["a"] * 16}, "'weight' must be 16 numbers"),
        ({"bias": None}, "'bias' must be 1 numbers|'bias' holds"),
    ):
        path.write_text(json.dumps({**good, **change}), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            RewardModel.from_pretrained(tmp_path)
    path.write_text(json.dumps(good), encoding="utf-8")
    assert RewardModel.from_pretrained(tmp_path).head.weight.data.sum() == 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.rewards({"ids": IDS, "mask": MASK & (IDS != 9) & (IDS != 2)}), "row 1 has no real token"),
        (lambda m: m.rewards({"ids": IDS, "mask": MASK[:2]}), r"must both be \(rows, tokens\)"),
        (lambda m: m.rewards({"ids": IDS, "targets": IDS}), "a batch of answers has 'ids' and may have 'mask'"),
        (lambda m: RewardModel(m.model, ValueHead(8)), "head reads states of width 8, the model's have 16"),
        (lambda m: ValueHead(8, scale=0.1), "needs rng="),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(reward_model())
