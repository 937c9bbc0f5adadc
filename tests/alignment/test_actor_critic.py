"""Policy and critic together: what they say of answers, how critics begin, what is saved, what is refused."""

import numpy as np
import pytest

from llm_from_scratch import build, from_pretrained
from llm_from_scratch.alignment import ActorCritic, RewardModel, ValueHead

TINY = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
IDS = np.array([[5, 6, 7, 8, 2], [9, 4, 2, 0, 0]])
TARGETS = np.array([[-100, -100, 8, 2, -100], [4, 2, -100, -100, -100]])
BATCH = {"ids": IDS, "targets": TARGETS}


def decoder(seed=1, vocab_size=19, dtype=np.float64):
    return build("llama", vocab_size=vocab_size, seed=seed, dtype=dtype, **TINY)


def test_log_probabilities_are_those_of_the_targets_at_the_temperature():
    policy = decoder()
    model = ActorCritic.of(policy, "shared")
    log_probabilities, values = model.answers(BATCH)
    wanted = policy.token_log_probabilities(BATCH).data
    np.testing.assert_allclose(log_probabilities.data, wanted[TARGETS != -100], rtol=1e-10)
    assert np.all(values.data == 0) and values.shape == IDS.shape
    colder = model.answers(BATCH, temperature=0.5)[0].data
    logits = policy(IDS).data * 2
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(colder, [logs[0, 2, 8], logs[0, 3, 2], logs[1, 0, 4], logs[1, 1, 2]], rtol=1e-10)


def test_how_critics_begin():
    policy, scorer = decoder(), RewardModel(decoder(2), ValueHead(16, scale=1.0, rng=np.random.default_rng(0)))
    from_reward = ActorCritic.of(policy, "reward model", scorer)
    np.testing.assert_array_equal(from_reward.answers(BATCH)[1].data, scorer.values({"ids": IDS}).data)
    from_policy = ActorCritic.of(policy, "policy")
    np.testing.assert_array_equal(from_policy.critic.model(IDS).data, policy(IDS).data)
    for model in (from_reward, from_policy):  # neither learns into what it was copied from
        for p in model.critic.parameters():
            p.data = p.data + 1
    assert np.abs(scorer.values({"ids": IDS}).data - from_reward.critic.values({"ids": IDS}).data).max() > 0.1
    assert len(list(ActorCritic.of(policy, "shared").parameters())) == len(list(policy.parameters())) + 2


def test_a_shared_head_teaches_the_policys_states_and_one_of_its_own_does_not():
    for critic, reaches in (("shared", True), ("policy", False)):
        model = ActorCritic.of(decoder(), critic)
        head = model.critic if critic == "shared" else model.critic.head
        head.weight.data = np.ones(head.weight.shape)
        model.answers(BATCH)[1].sum().backward()
        grad = next(p.grad for name, p in model.policy.named_parameters() if "query" in name)
        assert bool(grad is not None and np.abs(grad).max() > 0) is reaches


def test_what_remains_is_the_policy(tmp_path):
    policy = decoder()
    model = ActorCritic.of(policy, "policy")
    model.check_saving()
    model.save_pretrained(tmp_path)
    assert np.array_equal(from_pretrained(tmp_path)(IDS).data, policy(IDS).data)
    assert np.array_equal(model.generate(IDS[:, :2], max_new_tokens=4), policy.generate(IDS[:, :2], max_new_tokens=4))
    assert np.array_equal(model.token_log_probabilities(BATCH).data, policy.token_log_probabilities(BATCH).data)
    assert model.describe() != ActorCritic.of(policy, "shared").describe()


def test_what_is_refused():
    policy = decoder()
    with pytest.raises(ValueError, match="the critic is the policy itself"):
        ActorCritic(policy, RewardModel(policy))
    with pytest.raises(ValueError, match="the policy knows 19 tokens, the critic 23"):
        ActorCritic(policy, RewardModel(decoder(vocab_size=23)))
    with pytest.raises(TypeError, match="the policy is float64, the critic float32"):
        ActorCritic(policy, RewardModel(decoder(dtype=np.float32)))
    with pytest.raises(ValueError, match="needs one; without it choose critic='policy'"):
        ActorCritic.of(policy, "reward model")
    with pytest.raises(ValueError, match="a critic is 'reward model', 'policy' or 'shared', not 'none'"):
        ActorCritic.of(policy, "none")
