"""Wrong solutions of chapter 23: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "lora": {
        "no scale": ("(x @ A) @ B * scale", "(x @ A) @ B", "by_hand"),
        "scaled by alpha alone": ("else alpha / rank", "else alpha", "by_hand"),
        "always the stabilised scale": ("if stabilized else alpha / rank", "if True else alpha / rank", "by_hand"),
        "never the stabilised scale": ("if stabilized else alpha / rank", "if False else alpha / rank", "stabilised"),
        "the branch alone": ("return x @ weight + (x @ A)", "return (x @ A)", "by_hand"),
        "the branch subtracted": ("x @ weight + (x @ A)", "x @ weight - (x @ A)", "by_hand"),
        "the matrix scaled too": ("x @ weight + (x @ A) @ B * scale", "(x @ weight + (x @ A) @ B) * scale", "by_hand"),
        "the rank is the number of inputs": ("rank = A.shape[1]", "rank = A.shape[0]", "any_shape_of_x"),
        "flattens x": ("return x @ weight", "x = x.reshape(-1, x.shape[-1]); return x @ weight", "any_shape_of_x"),
        "the branch switched off": ("(x @ A) @ B * scale", "0 * ((x @ A) @ B)", "by_hand"),
        "float64 creep": ("rank**0.5", "np.sqrt(rank)", "keeps_float32"),
        "changes x": (
            "return x @ weight + (x @ A) @ B * scale",
            "y = x @ weight; x *= scale; return y + (x @ A) @ B",
            "inputs_unchanged",
        ),
    },
    "merge_lora": {
        "taken away": ("weight + (A @ B)", "weight - (A @ B)", "by_hand_merged"),
        "no scale": ("(A @ B) * scale", "(A @ B)", "by_hand_merged"),
        "scaled by alpha alone": ("else alpha / rank", "else alpha", "by_hand_merged"),
        "never the stabilised scale": ("if stabilized else alpha / rank", "if False else alpha / rank", "same_outputs"),
        "the product alone": ("return weight + (A @ B)", "return (A @ B)", "by_hand_merged"),
        "nothing merged": ("return weight + (A @ B) * scale", "return weight.copy()", "by_hand_merged"),
        "the other order": ("(A @ B)", "((B @ A) if A.shape == B.shape else A @ B)", "square_everything"),
        "in place": ("return weight + (A @ B) * scale", "weight += (A @ B) * scale; return weight", "inputs_unchanged"),
        "float64 creep": ("rank**0.5", "np.sqrt(rank)", "a_new_float32_matrix"),
    },
    "merge_ia3": {
        "rows for outputs": (
            "return weight * factors, None",
            "return weight * factors[:, None], None",
            "outputs_by_hand",
        ),
        "columns for inputs": (
            "return weight * factors[:, None], None",
            "return weight * factors, None",
            "inputs_by_hand",
        ),
        "bias as it is": ("else bias * factors", "else bias.copy()", "outputs_by_hand"),
        "bias multiplied for inputs": ("else bias.copy()", "else bias * factors", "inputs_by_hand"),
        "sides exchanged": ('side == "inputs"', 'side == "outputs"', "outputs_by_hand"),
        "the side ignored": ('side == "inputs"', "False", "inputs_by_hand"),
        "factors added": ("return weight * factors, None", "return weight + factors, None", "outputs_by_hand"),
        "divides": ("return weight * factors, None", "return weight / factors, None", "outputs_by_hand"),
        "a bias out of nothing": (
            "None if bias is None else bias * factors",
            "np.zeros_like(factors) if bias is None else bias * factors",
            "same_layer",
        ),
        "the bias handed through": ("else bias.copy()", "else bias", "keeps_float32_of_factors"),
        "in place": ("return weight * factors, None", "weight *= factors; return weight, None", "inputs_unchanged"),
        "float64 creep": (
            "return weight * factors, None",
            "return weight * factors.astype(float), None",
            "keeps_float32_of_factors",
        ),
    },
    "prefix_attention": {
        "no prefix": (
            "np.concatenate([prefix_keys, k]), np.concatenate([prefix_values, v])",
            "np.concatenate([0 * prefix_keys - 1e30, k]), np.concatenate([prefix_values, v])",
            "by_hand_attention",
        ),
        "scores not divided": (" / q.shape[1] ** 0.5", "", "by_hand_attention"),
        "divided by the width": ("q.shape[1] ** 0.5", "q.shape[1]", "by_hand_attention"),
        "the prefix comes late": (
            "<= held + np.arange(tokens)[:, None]",
            "<= np.arange(tokens)[:, None]",
            "by_hand_attention",
        ),
        "one key too many": ("<= held + np.arange", "<= held + 1 + np.arange", "every_query_sees_the_prefix"),
        "one key too few": ("<= held + np.arange", "< held + np.arange", "by_hand_attention"),
        "no mask": ("np.where(seen, scores, -np.inf)", "scores", "every_query_sees_the_prefix"),
        "a mask of -10,000": ("-np.inf)", "-1e4)", "large_scores"),
        "the prefix behind the text": (
            "np.concatenate([prefix_keys, k]), np.concatenate([prefix_values, v])",
            "np.concatenate([k, prefix_keys]), np.concatenate([v, prefix_values])",
            "every_query_sees_the_prefix",
        ),
        "values in another order": (
            "np.concatenate([prefix_values, v])",
            "np.concatenate([v, prefix_values])",
            "by_hand_attention",
        ),
        "keys as values": (
            "np.concatenate([prefix_values, v])",
            "np.concatenate([prefix_keys, v])",
            "by_hand_attention",
        ),
        "no maximum": ("scores - scores.max(axis=1, keepdims=True)", "scores", "large_scores"),
        "one maximum for all": ("scores.max(axis=1, keepdims=True)", "scores.max()", "large_scores"),
        "not normalised": (
            "shares / shares.sum(axis=1, keepdims=True) @ values",
            "shares @ values",
            "by_hand_attention",
        ),
        "normalised over queries": (
            "shares.sum(axis=1, keepdims=True)",
            "shares.sum(axis=0, keepdims=True)",
            "by_hand_attention",
        ),
        "changes q": (
            "scores = q @ keys.T / q.shape[1] ** 0.5",
            "q /= q.shape[1] ** 0.5; scores = q @ keys.T",
            "inputs_unchanged",
        ),
        "zeros": ("return shares / shares", "return 0 * shares / shares", "by_hand_attention"),
    },
    "combine_lora": {
        "adds the matrices": (
            "return A, B",
            "return sum(A for A, _, _ in pairs), sum(B * (w * s) for (_, B, s), w in zip(pairs, weights))",
            "sum_of_two",
        ),
        "weights on both": (
            "[A for A, _, _ in pairs]",
            "[A * w for (A, _, _), w in zip(pairs, weights)]",
            "sum_of_two",
        ),
        "no weights": ("(weight * scale)", "scale", "sum_of_two"),
        "no scales": ("(weight * scale)", "weight", "different_scales"),
        "divided by the scale": ("(weight * scale)", "(weight / scale)", "different_scales"),
        "the first scale for all": ("(weight * scale)", "(weight * pairs[0][2])", "different_scales"),
        "absolute weights": ("(weight * scale)", "(abs(weight) * scale)", "a_negative_weight"),
        "weights made to sum to one": ("(weight * scale)", "(weight / sum(weights) * scale)", "sum_of_two"),
        "only the first": ("for A, _, _ in pairs]", "for A, _, _ in pairs[:1]]", "sum_of_two"),
        "B in another order": ("zip(pairs, weights)])", "zip(pairs[::-1], weights[::-1])])", "sum_of_two"),
        "in place": ("[B * (weight * scale)", "[np.multiply(B, weight * scale, out=B)", "inputs_unchanged"),
        "float64 creep": ("[B * (weight * scale)", "[B * np.float64(weight * scale)", "one_alone"),
    },
}
