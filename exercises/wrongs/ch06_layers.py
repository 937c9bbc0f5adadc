"""Wrong solutions of chapter 6: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

FLAT = "np.add.at(gradient, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))"
RMS_DX = "dx = r * (c - n * (c * n).mean(axis=-1, keepdims=True))"
LAYER_DX = "dx = r * (c - c.mean(axis=-1, keepdims=True) - n * (c * n).mean(axis=-1, keepdims=True))"
STABLE = "np.exp(np.minimum(g, 0)) / (1 + np.exp(-np.abs(g)))"
STABLE_BACKWARD = "np.exp(np.minimum(gate, 0)) / (1 + np.exp(-np.abs(gate)))"

WRONGS = {
    "embedding_backward": {
        "plus-equals": (FLAT, "gradient[ids.reshape(-1)] += dy.reshape(-1, dy.shape[-1])", "repeated_ids"),
        "the last one wins": (FLAT, "gradient[ids.reshape(-1)] = dy.reshape(-1, dy.shape[-1])", "repeated_ids"),
        "the first one wins": (
            FLAT,
            "gradient[ids.reshape(-1)[::-1]] = dy.reshape(-1, dy.shape[-1])[::-1]",
            "repeated_ids",
        ),
        "averaged": (
            FLAT,
            FLAT
            + "\n    gradient /= np.maximum(np.bincount(ids.reshape(-1), minlength=rows), 1).astype(dy.dtype)[:, None]",
            "repeated_ids",
        ),
        "picks instead of adding": (
            FLAT,
            "gradient[: ids.size] = dy.reshape(-1, dy.shape[-1])[ids.reshape(-1) % ids.size][:rows]",
            "different_ids",
        ),
        "only neighbours": (
            FLAT,
            "for n, i in enumerate(ids.reshape(-1)):\n        gradient[i] = dy.reshape(-1, dy.shape[-1])[n] + (gradient[i] if n and ids.reshape(-1)[n - 1] == i else 0)",
            "repeated_ids",
        ),
        "all zero": (FLAT, "pass", "different_ids"),
        "as many rows as ids need": ("np.zeros((rows,", "np.zeros((int(ids.max()) + 1,", "rows_without_a_token"),
        "one axis of ids only": (FLAT, "for n, i in enumerate(ids):\n        gradient[i] += dy[n]", "any_shape_of_ids"),
        "float64 creep": ("dy.shape[-1]), dy.dtype)", "dy.shape[-1]))", "keeps_float32"),
        "scales dy in place": (FLAT, "dy *= 1.000000000001\n    " + FLAT, "inputs_unchanged"),
    },
    "rms_norm_backward": {
        "root taken for a constant": (RMS_DX, "dx = r * c", "rms_dx"),
        "weight forgotten": ("c = dy * weight", "c = dy", "rms_dx"),
        "r forgotten": (RMS_DX, "dx = c - n * (c * n).mean(axis=-1, keepdims=True)", "rms_dx"),
        "a sum for the mean": ("(c * n).mean(axis=-1", "(c * n).sum(axis=-1", "rms_dx"),
        "x for the normalised row": (RMS_DX, RMS_DX.replace("c - n *", "c - x *"), "rms_dx"),
        "r twice": (RMS_DX, RMS_DX.replace("dx = r *", "dx = r * r *"), "rms_dx"),
        "layer norm's gradient": (RMS_DX, LAYER_DX, "rms_dx"),
        "sign flipped": ("(c - n *", "(c + n *", "rms_dx"),
        "mean over tokens": ("(c * n).mean(axis=-1, keepdims=True)", "(c * n).mean(axis=0, keepdims=True)", "rms_dx"),
        "dweight without the norm": ("(dy * n).reshape", "(dy * x).reshape", "rms_dweight"),
        "dweight averaged": ("x.shape[-1]).sum(axis=0)", "x.shape[-1]).mean(axis=0)", "rms_dweight"),
        "dweight over the first axis only": (
            "(dy * n).reshape(-1, x.shape[-1]).sum(axis=0)",
            "(dy * n).sum(axis=0)",
            "rms_batches",
        ),
        "eps left out": ("keepdims=True) + eps)", "keepdims=True))", "rms_eps"),
        "eps outside of the root": (
            "r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)",
            "r = 1 / (np.sqrt((x * x).mean(axis=-1, keepdims=True)) + eps)",
            "rms_eps",
        ),
        "rounded to float32 inside": ("n = x * r", "n = (x * r).astype(np.float32).astype(x.dtype)", "rms_dx"),
        "float64 creep": ("n = x * r", "n = x * r.astype(np.float64)", "rms_keeps_float32"),
        "writes into dy": ("c = dy * weight", "dy *= weight; c = dy; dy = c / weight", "inputs_unchanged"),
    },
    "layer_norm_backward": {
        "mean and spread for constants": (LAYER_DX, "dx = r * c", "layer_dx"),
        "mean for a constant": (LAYER_DX, RMS_DX, "layer_dx"),
        "spread for a constant": (LAYER_DX, "dx = r * (c - c.mean(axis=-1, keepdims=True))", "layer_dx"),
        "weight forgotten": ("c = dy * weight", "c = dy", "layer_dx"),
        "r forgotten": (LAYER_DX, LAYER_DX.replace("r * (", "("), "layer_dx"),
        "sums for means": (LAYER_DX, LAYER_DX.replace("mean(", "sum("), "layer_dx"),
        "the unbiased variance": (
            "(centred * centred).mean(axis=-1, keepdims=True)",
            "(centred * centred).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)",
            "layer_dx",
        ),
        "not centred": ("n = centred * r", "n = x * r", "layer_dx"),
        "mean over tokens": ("x.mean(axis=-1, keepdims=True)", "x.mean(axis=0, keepdims=True)", "layer_dx"),
        "sign flipped": ("- n * (c * n)", "+ n * (c * n)", "layer_dx"),
        "all zero": (LAYER_DX, "dx = 0 * c", "layer_dx"),
        "variance in one pass": (
            "(centred * centred).mean(axis=-1, keepdims=True)",
            "np.maximum((x * x).mean(axis=-1, keepdims=True) - x.mean(axis=-1, keepdims=True) ** 2, 1e-8)",
            "an_offset_of_10000",
        ),
        "dweight without the norm": ("(dy * n).reshape(-1, width)", "(dy * x).reshape(-1, width)", "layer_dweight"),
        "dbias averaged": ("dy.reshape(-1, width).sum(axis=0)", "dy.reshape(-1, width).mean(axis=0)", "layer_dbias"),
        "dbias with the weight": ("dy.reshape(-1, width).sum", "c.reshape(-1, width).sum", "layer_dbias"),
        "dbias over the first axis only": (
            "dy.reshape(-1, width).sum(axis=0)",
            "dy.sum(axis=0)",
            "layer_batches",
        ),
        "eps left out": ("keepdims=True) + eps)", "keepdims=True))", "layer_eps"),
        "eps outside of the root": (
            "r = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)",
            "r = 1 / (np.sqrt((centred * centred).mean(axis=-1, keepdims=True)) + eps)",
            "layer_eps",
        ),
        "rounded to float32 inside": (
            "c = dy * weight",
            "c = (dy * weight).astype(np.float32).astype(dy.dtype)",
            "layer_dx",
        ),
        "float64 creep": ("n = centred * r", "n = centred * r.astype(np.float64)", "layer_keeps_float32"),
        "centres x in place": (
            "centred = x - x.mean",
            "x -= 0 * x + 1e-13 * x; centred = x - x.mean",
            "inputs_unchanged",
        ),
    },
    "gelu_backward": {
        "Phi alone": ("(below + x * density)", "below", "slopes"),
        "x phi alone": ("(below + x * density)", "(x * density)", "slopes"),
        "x missing": ("x * density)", "density)", "slopes"),
        "GELU itself": ("(below + x * density)", "(x * below)", "slopes"),
        "dy missing": ("(dy * (below", "(1 * (below", "slopes"),
        "root of two missing": ("math.erf(value / math.sqrt(2))", "math.erf(value)", "slopes"),
        "the density of another spread": ("np.exp(-0.5 * x * x)", "np.exp(-x * x)", "slopes"),
        "the tanh formula": (
            "return (dy * (below + x * density)).astype(x.dtype)",
            "h = 1e-5\n    f = lambda z: 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))\n    return (dy * (f(x + h) - f(x - h)) / (2 * h)).astype(x.dtype)",
            "not_the_tanh_formula",
        ),
        "the sigmoid approximation": (
            "below = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x.ravel().tolist()]).reshape(x.shape)",
            "below = 1 / (1 + np.exp(-1.702 * x))",
            "slopes",
        ),
        "Phi in float32": ("for value in x.ravel()", "for value in x.astype(np.float32).ravel()", "slopes"),
        "the density in float32": (
            "np.exp(-0.5 * x * x)",
            "np.exp(-0.5 * x * x).astype(np.float32).astype(x.dtype)",
            "slopes",
        ),
        "flattens": (".reshape(x.shape)", "; x, dy = x.ravel(), dy.ravel()", "slopes"),
        "float64 creep": ("(below + x * density)).astype(x.dtype)", "(below + x * density))", "gelu_shapes_and_dtype"),
        "scales x in place": ("density = np.exp", "x *= 1.000000000001; density = np.exp", "inputs_unchanged"),
    },
    "swiglu": {
        "gate and up exchanged": ("g, u = x @ gate, x @ up", "g, u = x @ up, x @ gate", "one_token"),
        "the sigmoid alone": ("g * sigmoid * u", "sigmoid * u", "one_token"),
        "no gate": ("g * sigmoid * u", "g * sigmoid", "one_token"),
        "no curve": ("g * sigmoid * u", "g * u", "one_token"),
        "added": ("g * sigmoid * u", "g * sigmoid + u", "one_token"),
        "ReLU": ("g * sigmoid * u", "np.maximum(g, 0) * u", "one_token"),
        "down forgotten for square inputs": (
            "(g * sigmoid * u) @ down",
            "(g * sigmoid * u)[..., : x.shape[-1]]",
            "one_token",
        ),
        "the gates in float32": (
            "g, u = x @ gate,",
            "g, u = (x @ gate).astype(np.float32).astype(x.dtype),",
            "one_token",
        ),
        "works on squares only": (
            "g, u = x @ gate, x @ up",
            "g, u = x @ gate.T.reshape(gate.shape), x @ up",
            "one_token",
        ),
        "overflows": (STABLE, "1 / (1 + np.exp(-g))", "large_gates"),
        "a limit of float64 only": (STABLE, "1 / (1 + np.exp(np.minimum(-g, 700)))", "large_gates"),
        "clips the gates": ("g, u = x @ gate, x @ up", "g, u = np.clip(x @ gate, -50, 50), x @ up", "large_gates"),
        "one row only": (
            "g, u = x @ gate, x @ up",
            "x = x.reshape(-1, x.shape[-1]); g, u = x @ gate, x @ up",
            "swiglu_batches",
        ),
        "float64 creep": ("@ down).astype(x.dtype)", "@ down.astype(np.float64))", "swiglu_keeps_float32"),
        "scales x in place": ("g, u = x @ gate", "x *= 1.000000000001; g, u = x @ gate", "inputs_unchanged"),
    },
    "swiglu_backward": {
        "slope of the sigmoid alone": ("s * (1 + gate * (1 - s))", "s * (1 - s)", "dgate"),
        "first factor only": ("s * (1 + gate * (1 - s))", "s", "dgate"),
        "second factor only": ("s * (1 + gate * (1 - s))", "gate * s * (1 - s)", "dgate"),
        "up forgotten": ("dgate = dy * up *", "dgate = dy *", "dgate"),
        "dy forgotten": ("dgate = dy * up *", "dgate = up *", "dgate"),
        "sign of the curve's term": ("(1 + gate * (1 - s))", "(1 - gate * (1 - s))", "dgate"),
        "exchanged": (
            "return dgate.astype(gate.dtype), (dy * gate * s).astype(gate.dtype)",
            "return (dy * gate * s).astype(gate.dtype), dgate.astype(gate.dtype)",
            "dgate",
        ),
        "dup without the curve": ("(dy * gate * s)", "(dy * gate)", "dup"),
        "dup without the gate": ("(dy * gate * s)", "(dy * s)", "dup"),
        "dup times up": ("(dy * gate * s)", "(dy * gate * s * up)", "dup"),
        "a limit of float64 only": (
            STABLE_BACKWARD,
            "1 / (1 + np.exp(np.clip(-gate, -700, 700)))",
            "large_gates_backward",
        ),
        "overflows": (STABLE_BACKWARD, "1 / (1 + np.exp(-gate))", "large_gates_backward"),
        "the sigmoid in float32": (
            "dgate = dy * up",
            "s = s.astype(np.float32).astype(gate.dtype); dgate = dy * up",
            "dgate",
        ),
        "float64 creep": (
            "return dgate.astype(gate.dtype)",
            "return dgate.astype(np.float64)",
            "swiglu_backward_float32",
        ),
        "writes into dy": ("dgate = dy * up", "dy *= up; dgate = dy; dy = dy / up; dgate = dgate", "inputs_unchanged"),
    },
}
