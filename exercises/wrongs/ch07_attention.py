"""Wrong solutions of chapter 7: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "attention": {
        "no mask": ("np.where(np.tri(q.shape[-2], dtype=bool), scores, -np.inf)", "scores", "by_hand"),
        "the mask transposed": ("np.tri(q.shape[-2], dtype=bool)", "np.tri(q.shape[-2], dtype=bool).T", "by_hand"),
        "a query does not see itself": (
            "np.tri(q.shape[-2], dtype=bool)",
            "np.tri(q.shape[-2], k=-1, dtype=bool) | (np.arange(q.shape[-2]) == 0)",
            "by_hand",
        ),
        "masked after the softmax": (
            "np.where(np.tri(q.shape[-2], dtype=bool), scores, -np.inf)",
            "scores - 0.0; v = v; full = np.exp(scores); return (np.tril(full / full.sum(-1, keepdims=True)) @ v).astype(q.dtype)",
            "by_hand",
        ),
        "minus 20 instead of minus infinity": ("scores, -np.inf)", "scores, scores - 20.0)", "the_future_is_hidden"),
        "no scale": (" / math.sqrt(q.shape[-1])", "", "by_hand"),
        "scaled by D": ("math.sqrt(q.shape[-1])", "q.shape[-1]", "by_hand"),
        "scaled by the number of tokens": ("math.sqrt(q.shape[-1])", "math.sqrt(q.shape[-2])", "by_hand"),
        "scale only right for width 4": ("math.sqrt(q.shape[-1])", "2.0 if q.ndim < 3 else 1.0", "any_batch_axes"),
        "not normalised": (" / weights.sum(axis=-1, keepdims=True)", "", "by_hand"),
        "normalised over queries": (
            "weights @ v / weights.sum(axis=-1, keepdims=True)",
            "weights / weights.sum(axis=-2, keepdims=True) @ v",
            "by_hand",
        ),
        "overflows": ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)", "large_scores"),
        "float64 creep": (".astype(q.dtype)", ".astype(np.float64)", "keeps_float32"),
        "batch axes turned round": ("k.swapaxes(-1, -2)", "k.T", "any_batch_axes"),
        "scales q in place": (
            "scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])",
            "q /= math.sqrt(q.shape[-1]); scores = q @ k.swapaxes(-1, -2)",
            "inputs_unchanged",
        ),
    },
    "cached_attention": {
        "triangle in the upper left corner": ("k=keys - queries", "k=0", "one_token_at_a_time"),
        "no mask": ("k=keys - queries", "k=keys", "an_empty_cache"),
        "one key too few": (
            "k=keys - queries",
            "k=max(0, keys - queries - (past is not None))",
            "one_token_at_a_time",
        ),
        "only right for single tokens": ("k=keys - queries", "k=keys - 1 if past else 0", "in_pieces"),
        "forgets the past": ("if past is not None:", "if False:", "one_token_at_a_time"),
        "new keys in front": (
            "np.concatenate([past[0], k], axis=-2)",
            "np.concatenate([k, past[0]], axis=-2)",
            "one_token_at_a_time",
        ),
        "old values with new keys": (
            "v = np.concatenate([past[1], v], axis=-2)",
            "v = np.concatenate([past[1], past[1][..., -1:, :].repeat(v.shape[-2], -2)], axis=-2)",
            "one_token_at_a_time",
        ),
        "returns the new keys alone": (
            "keepdims=True), (k, v)",
            "keepdims=True), (k[..., -queries:, :], v[..., -queries:, :])",
            "one_token_at_a_time",
        ),
        "stores keys twice": (
            "keepdims=True), (k, v)",
            "keepdims=True), (k, v) if past is None or queries > 1 else (np.concatenate([k, k[..., -1:, :]], -2), np.concatenate([v, v[..., -1:, :]], -2))",
            "one_token_at_a_time",
        ),
        "stores scaled keys": (
            "keepdims=True), (k, v)",
            "keepdims=True), (k if queries < 3 or past is None else k * 1.0000001, v)",
            "the_cache_grows",
        ),
        "no scale": (" / math.sqrt(q.shape[-1])", "", "an_empty_cache"),
        "returns y only": ("keepdims=True), (k, v)", "keepdims=True)", "an_empty_cache"),
        "rounds the remembered keys in place": (
            "if past is not None:",
            "if past is not None:\n        past[0][...] = past[0].round(12)",
            "inputs_unchanged",
        ),
    },
    "attention_backward": {
        "all zero": ("return dS @ k, dS.swapaxes(-1, -2) @ q, dv", "return 0 * q, 0 * k, 0 * v", "values"),
        "without delta": ("(dP - delta)", "dP", "queries_and_keys"),
        "delta over queries": (
            "(dy * (P @ v)).sum(axis=-1, keepdims=True)",
            "(P * dP).sum(axis=-2, keepdims=True)",
            "queries_and_keys",
        ),
        "delta without weights": (
            "(dy * (P @ v)).sum(axis=-1, keepdims=True)",
            "dP.sum(axis=-1, keepdims=True)",
            "queries_and_keys",
        ),
        "scale forgotten": ("(dP - delta) * scale", "(dP - delta)", "queries_and_keys"),
        "scale twice": ("(dP - delta) * scale", "(dP - delta) * scale * scale", "queries_and_keys"),
        "dq and dk exchanged": (
            "dS @ k, dS.swapaxes(-1, -2) @ q",
            "dS.swapaxes(-1, -2) @ q, dS @ k",
            "queries_and_keys",
        ),
        "dk not transposed": ("dS.swapaxes(-1, -2) @ q", "dS @ q", "queries_and_keys"),
        "P not transposed": ("P.swapaxes(-1, -2) @ dy", "P @ dy", "values"),
        "sign flipped": ("(dP - delta)", "(delta - dP)", "queries_and_keys"),
        "no mask": (
            "np.where(np.tri(q.shape[-2], dtype=bool), q @ k.swapaxes(-1, -2) * scale, -np.inf)",
            "q @ k.swapaxes(-1, -2) * scale",
            "values",
        ),
        "mask forgotten in the gradient": (
            "dS = P * (dP - delta) * scale",
            "dS = P * (dP - delta) * scale + (P == 0) * 1e-3",
            "hidden_keys",
        ),
        "heads summed": ("dv = P.swapaxes(-1, -2) @ dy", "dv = P.T @ dy", "heads"),
        "overflows": ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)", "large_scores_backward"),
        "writes into dy": ("delta = (dy *", "dy *= 1.0000001\n    delta = (dy *", "inputs_unchanged"),
    },
    "online_attention": {
        "the answer is not rescaled": ("answer = answer * factor", "answer = answer", "two_blocks"),
        "the sum is not rescaled": ("total = total * factor", "total = total", "two_blocks"),
        "the factor upside down": (
            "np.exp(largest - new), ",
            "np.exp(np.where(np.isinf(largest), -np.inf, new - largest)), ",
            "two_blocks",
        ),
        "the maximum may fall": (
            "np.maximum(largest, scores.max(axis=1, keepdims=True))",
            "scores.max(axis=1, keepdims=True)",
            "large_scores_in_blocks",
        ),
        "queries share one sum": (
            "share.sum(axis=1, keepdims=True)",
            "share.mean(axis=0, keepdims=True).sum() + 0 * largest[:, :1].clip(0, 0)",
            "many_queries",
        ),
        "no maximum at all": (
            "np.maximum(largest, scores.max(axis=1, keepdims=True))",
            "np.zeros((len(q), 1))",
            "large_scores_in_blocks",
        ),
        "keeps the blocks": (
            "for keys, values in blocks:",
            "for keys, values in list(blocks):",
            "two_blocks",
        ),
        "collects views and joins them": (
            "for keys, values in blocks:",
            "pairs = list(blocks)\n    for keys, values in [(np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]))]:",
            "two_blocks",
        ),
        "no scale": (" / math.sqrt(q.shape[1])", "", "one_block"),
        "only the last block": (
            "answer = answer * factor + share @ values",
            "answer, total = share @ values, share.sum(axis=1, keepdims=True)",
            "two_blocks",
        ),
        "not normalised": ("return answer / total", "return answer", "one_block"),
        "log of the sum without the maximum": (
            "(largest + np.log(total))[:, 0]",
            "np.log(total)[:, 0] * np.ones(len(q))",
            "log_sum_exp",
        ),
        "the maximum for the log-sum-exp": ("(largest + np.log(total))[:, 0]", "largest[:, 0]", "log_sum_exp"),
        "logarithm to base 2": ("np.log(total)", "np.log2(total)", "log_sum_exp"),
        "scales q in place": ("largest = np.full", "q *= 1.000000000001\n    largest = np.full", "inputs_unchanged"),
    },
    "merge": {
        "the mean": (
            "share1, share2 = np.exp(log_sum_exp1 - safe), np.exp(log_sum_exp2 - safe)",
            "share1 = share2 = 0.5 + 0 * safe",
            "two_halves",
        ),
        "the sum": (
            "y = (share1 / divisor)[..., None] * y1 + (share2 / divisor)[..., None] * y2",
            "y = y1 + y2",
            "two_halves",
        ),
        "the halves exchanged": (
            "(share1 / divisor)[..., None] * y1 + (share2 / divisor)[..., None] * y2",
            "(share2 / divisor)[..., None] * y1 + (share1 / divisor)[..., None] * y2",
            "two_halves",
        ),
        "the larger one takes all": (
            "total = share1 + share2",
            "share1, share2 = (log_sum_exp1 >= log_sum_exp2) * 1.0, (log_sum_exp1 < log_sum_exp2) * 1.0\n    total = share1 + share2",
            "two_halves",
        ),
        "weighted by the logarithms": (
            "np.exp(log_sum_exp1 - safe), np.exp(log_sum_exp2 - safe)",
            "log_sum_exp1 + 0 * safe, log_sum_exp2 + 0 * safe",
            "two_halves",
        ),
        "log-sum-exps added": (
            "np.where(total > 0, safe + np.log(divisor), -np.inf)",
            "log_sum_exp1 + log_sum_exp2",
            "two_halves",
        ),
        "the maximum for the log-sum-exp": (
            "np.where(total > 0, safe + np.log(divisor), -np.inf)",
            "largest",
            "two_halves",
        ),
        "overflows": (
            "safe = np.where(np.isneginf(largest), 0.0, largest)",
            "safe = 0.0 * np.where(np.isneginf(largest), 0.0, largest)",
            "far_apart",
        ),
        "nan where nothing was seen": (
            "safe = np.where(np.isneginf(largest), 0.0, largest)",
            "safe = largest",
            "nothing_seen",
        ),
        "zero divided by zero": ("divisor = np.where(total > 0, total, 1.0)", "divisor = total", "nothing_seen"),
        "width mistaken for queries": ("[..., None] * y1", "[None] * y1", "two_halves"),
        "adds into y1": (
            "y = (share1 / divisor)[..., None] * y1 + (share2 / divisor)[..., None] * y2",
            "y1 *= (share1 / divisor)[..., None]; y1 += (share2 / divisor)[..., None] * y2; y = y1",
            "inputs_unchanged",
        ),
    },
}
