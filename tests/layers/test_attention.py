"""Norms of queries and keys: of each head alone, or of all heads of a token together, by the norm's size."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, gradcheck
from llm_from_scratch.layers import AttentionSpec, Context, NormSpec, Rotary

HEADS, SHARED, WIDTH = 4, 2, 6
X = np.random.default_rng(0).normal(size=(2, 5, 8))
CONTEXT = Context(positions=np.arange(5)[None])


def built(query: NormSpec | None, key: NormSpec | None):
    spec = AttentionSpec(8, HEADS, SHARED, WIDTH, bias=True, rotary=Rotary(4), query_norm=query, key_norm=key)
    attention = spec.build(np.random.default_rng(1)).astype(np.float64)
    for p in attention.parameters():
        p.data = np.random.default_rng(p.size).normal(size=p.shape)
    return attention


def rms(y: np.ndarray, norm) -> np.ndarray:
    return y / np.sqrt((y**2).mean(-1, keepdims=True) + norm.spec.eps) * norm.weight.data


@pytest.mark.parametrize("query, key", [(WIDTH, WIDTH), (HEADS * WIDTH, SHARED * WIDTH), (WIDTH, SHARED * WIDTH)])
def test_queries_and_keys_are_normed_head_by_head_or_all_together(query, key):
    attention = built(NormSpec(query, "rms", 1e-5), NormSpec(key, "rms", 1e-5))
    q, k, v = (part(Tensor(X)).data for part in (attention.query, attention.key, attention.value))

    def heads(y: np.ndarray, count: int, norm=None) -> Tensor:
        apart = [y[..., WIDTH * n : WIDTH * (n + 1)] for n in range(count)]
        if norm is not None and norm.spec.size == WIDTH:
            apart = [rms(head, norm) for head in apart]
        elif norm is not None:
            apart = np.split(rms(y, norm), count, axis=-1)
        return Tensor(np.stack(apart, axis=1))

    rotary = attention.spec.rotary
    q = rotary(heads(q, HEADS, attention.query_norm), CONTEXT.positions)
    k = rotary(heads(k, SHARED, attention.key_norm), CONTEXT.positions)
    y = F.attention(q, k, heads(v, SHARED), causal=True, scale=WIDTH**-0.5)
    expected = attention.output(y.transpose(0, 2, 1, 3).reshape(2, 5, HEADS * WIDTH)).data
    np.testing.assert_allclose(attention(Tensor(X), None, CONTEXT).data, expected, atol=1e-12)
    names, parameters = zip(*attention.named_parameters())
    assert {"query_norm.weight", "key_norm.weight"} <= set(names)
    x = Tensor(X.copy(), requires_grad=True)
    assert gradcheck(lambda *_: attention(x, None, CONTEXT), x, *parameters, names=["x", *names]) < 1e-6


def test_a_norm_of_another_size_is_refused():
    with pytest.raises(ValueError, match="query_norm is over 12 entries; a head has 6, all together 24"):
        built(NormSpec(2 * WIDTH), None)
