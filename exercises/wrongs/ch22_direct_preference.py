"""Wrong solutions of chapter 22: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

MARGIN = "beta * ((chosen - reference_chosen) - (rejected - reference_rejected))"
OFF = "(chosen - reference_chosen) / one - (rejected - reference_rejected) / other - 1 / (2 * tau)"

WRONGS = {
    "sequence_log_probability": {
        "the prompt added": ("np.where(counts, taken, 0).sum(", "taken.sum(", "only_targets"),
        "the mean": (
            ".sum(axis=1, dtype=logits.dtype)",
            ".sum(axis=1, dtype=logits.dtype) / counts.sum(axis=1).astype(logits.dtype)",
            "only_targets",
        ),
        "the loss": ("return np.where(counts, taken, 0)", "return -np.where(counts, taken, 0)", "only_targets"),
        "no softmax": ("np.take_along_axis(log_p,", "np.take_along_axis(logits,", "only_targets"),
        "no normalisation": (
            "log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "log_p = shifted",
            "only_targets",
        ),
        "probabilities": (
            "return np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype)",
            "return np.exp(np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype))",
            "only_targets",
        ),
        "one number for the batch": (
            ".sum(axis=1, dtype=logits.dtype)",
            ".sum(dtype=logits.dtype)[None]",
            "only_targets",
        ),
        "summed over rows": (".sum(axis=1, dtype", ".sum(axis=0, dtype", "only_targets"),
        "shifted once more": (
            "counts = targets != -100",
            "targets = np.concatenate([targets[:, 1:], targets[:, :1]], axis=1); counts = targets != -100",
            "only_targets",
        ),
        "-100 as a place from the end": (
            "np.where(counts, taken, 0).sum(",
            "np.where(counts, taken, np.take_along_axis(log_p, np.maximum(targets, -log_p.shape[-1])[..., None], axis=-1)[..., 0]).sum(",
            "ignored_targets",
        ),
        "token 0 is not counted": ("counts = targets != -100", "counts = targets > 0", "only_targets"),
        "overflow": ("shifted = logits - logits.max(axis=-1, keepdims=True)", "shifted = logits", "large_logits"),
        "one maximum for all": ("logits.max(axis=-1, keepdims=True)", "logits.max()", "large_logits"),
        "a row without targets is nan": (
            "return np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype)",
            "n = counts.sum(axis=1).astype(logits.dtype); return np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype) / n * n",
            "smallest_rows",
        ),
        "squeezed": (
            "return np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype)",
            "s = np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype); return s.squeeze() if len(s) == 1 else s",
            "smallest_rows",
        ),
        "zeros": ("return np.where(counts, taken, 0)", "return np.where(counts, taken * 0, 0)", "only_targets"),
        "float64 creep": ("dtype=logits.dtype", "dtype=np.float64", "keeps_float32_of_logits"),
        "maximum taken off in place": (
            "shifted = logits - logits.max(axis=-1, keepdims=True)",
            "logits -= logits.max(axis=-1, keepdims=True); shifted = logits",
            "inputs_unchanged",
        ),
        "targets changed in place": (
            "np.where(counts, targets, 0)[..., None]",
            "np.maximum(targets, 0, out=targets)[..., None]",
            "inputs_unchanged",
        ),
    },
    "dpo": {
        "no reference": (MARGIN, "beta * (chosen - rejected)", "loss_by_hand"),
        "sign of the margin": (
            MARGIN,
            "beta * ((rejected - reference_rejected) - (chosen - reference_chosen))",
            "loss_by_hand",
        ),
        "no beta": ("margin = beta * (", "margin = 1 * (", "loss_by_hand"),
        "references exchanged": (
            MARGIN,
            "beta * ((chosen - reference_rejected) - (rejected - reference_chosen))",
            "loss_by_hand",
        ),
        "reference added": (
            MARGIN,
            "beta * ((chosen + reference_chosen) - (rejected + reference_rejected))",
            "loss_by_hand",
        ),
        "the sum": ("np.logaddexp(0, -margin).mean()", "np.logaddexp(0, -margin).sum()", "loss_by_hand"),
        "the mean margin": ("np.logaddexp(0, -margin).mean()", "np.logaddexp(0, -margin.mean())", "loss_by_hand"),
        "a hinge": ("np.logaddexp(0, -margin).mean()", "np.maximum(0, 1 - margin).mean()", "loss_by_hand"),
        "the sigmoid, not its logarithm": (
            "np.logaddexp(0, -margin).mean()",
            "np.exp(-np.logaddexp(0, margin)).mean()",
            "loss_by_hand",
        ),
        "zero loss and gradient": (
            "return float(loss), -slope, slope",
            "return 0.0, slope * 0, slope * 0",
            "loss_by_hand",
        ),
        "gradient of the sum": ("beta * weight / len(margin)", "beta * weight", "gradient_by_differences"),
        "gradient without beta": ("beta * weight / len(margin)", "weight / len(margin)", "gradient_by_differences"),
        "gradients exchanged": ("-slope, slope", "slope, -slope", "gradient_by_differences"),
        "both answers pushed up": ("-slope, slope", "-slope, -slope", "gradient_by_differences"),
        "the rejected answer left alone": ("-slope, slope", "-slope, 0 * slope", "gradient_by_differences"),
        "constant weight": ("np.exp(-np.logaddexp(0, margin))", "np.full_like(margin, 0.5)", "gradient_by_differences"),
        "sigmoid of the margin": (
            "np.exp(-np.logaddexp(0, margin))",
            "np.exp(-np.logaddexp(0, -margin))",
            "gradient_by_differences",
        ),
        "weight one at the start": (
            "np.exp(-np.logaddexp(0, margin))",
            "2 * np.exp(-np.logaddexp(0, margin))",
            "at_the_start",
        ),
        "sigmoid that overflows": ("np.exp(-np.logaddexp(0, margin))", "1 / (1 + np.exp(margin))", "far_out"),
        "logarithm of 0": ("np.logaddexp(0, -margin).mean()", "-np.log(1 / (1 + np.exp(-margin))).mean()", "far_out"),
        "margin clipped": ("loss = np", "margin = np.clip(margin, -50, 50); loss = np", "far_out"),
        "divided by N - 1": ("/ len(margin)", "/ max(1e-9, len(margin) - 1)", "one_pair"),
        "float64 creep": ("weight = np.exp(", "weight = np.float64(1) * np.exp(", "keeps_float32_of_pairs"),
        "in place": (
            "margin = beta * ((chosen - reference_chosen)",
            "chosen -= reference_chosen; margin = beta * ((chosen)",
            "inputs_unchanged",
        ),
        "a NumPy scalar": ("return float(loss)", "return loss", "loss_by_hand"),
    },
    "ipo": {
        "target 1 / tau": ("1 / (2 * tau)", "1 / tau", "loss_by_hand_of_ipo"),
        "target tau / 2": ("1 / (2 * tau)", "tau / 2", "loss_by_hand_of_ipo"),
        "no target": (" - 1 / (2 * tau)", "", "loss_by_hand_of_ipo"),
        "sign of the margin": (
            OFF,
            "(rejected - reference_rejected) / other - (chosen - reference_chosen) / one - 1 / (2 * tau)",
            "loss_by_hand_of_ipo",
        ),
        "no reference": (OFF, "chosen / one - rejected / other - 1 / (2 * tau)", "loss_by_hand_of_ipo"),
        "the sum": ("(off * off).mean()", "(off * off).sum()", "loss_by_hand_of_ipo"),
        "the absolute value": ("(off * off).mean()", "np.abs(off).mean()", "loss_by_hand_of_ipo"),
        "the square of the mean": ("(off * off).mean()", "off.mean() ** 2", "loss_by_hand_of_ipo"),
        "a hinge": ("slope = 2", "off = np.minimum(off, 0); slope = 2", "pulls_back"),
        "no 2 in the slope": ("slope = 2 * off", "slope = off", "gradient_of_ipo"),
        "slope of the sum": ("2 * off / len(off)", "2 * off", "gradient_of_ipo"),
        "gradients exchanged": ("slope / one, -slope / other", "-slope / one, slope / other", "gradient_of_ipo"),
        "zeros": ("slope / one, -slope / other", "0 * slope, 0 * slope", "gradient_of_ipo"),
        "the sign of the slope alone": (
            "slope = 2 * off / len(off)",
            "slope = np.sign(off) / len(off)",
            "gradient_of_ipo",
        ),
        "lengths exchanged": (
            "(n.astype(chosen.dtype) for n in lengths)",
            "(n.astype(chosen.dtype) for n in lengths[::-1])",
            "per_token",
        ),
        "lengths ignored": (
            "(np.ones_like(chosen),) * 2 if lengths is None else (n.astype(chosen.dtype) for n in lengths)",
            "(np.ones_like(chosen),) * 2",
            "per_token",
        ),
        "by the sum of the lengths": (
            "(n.astype(chosen.dtype) for n in lengths)",
            "((lengths[0] + lengths[1]).astype(chosen.dtype),) * 2",
            "per_token",
        ),
        "both by the chosen length": (
            "(n.astype(chosen.dtype) for n in lengths)",
            "(lengths[0].astype(chosen.dtype),) * 2",
            "per_token",
        ),
        "no length in the gradient": ("slope / one, -slope / other", "slope, -slope", "per_token"),
        "times the lengths": (
            OFF,
            "(chosen - reference_chosen) * one - (rejected - reference_rejected) * other - 1 / (2 * tau)",
            "per_token",
        ),
        "float64 by the lengths": (
            "(n.astype(chosen.dtype) for n in lengths)",
            "(n.astype(float) for n in lengths)",
            "keeps_float32_of_ipo",
        ),
        "in place": ("slope = 2", "chosen -= reference_chosen; slope = 2", "inputs_unchanged"),
    },
    "reward_accuracy": {
        "no reference": (
            "gain, other = chosen - reference_chosen, rejected - reference_rejected",
            "gain, other = chosen, rejected",
            "by_hand",
        ),
        "rejected counted": ("(gain > other)", "(gain < other)", "by_hand"),
        "the number": ("(gain > other).mean()", "(gain > other).sum()", "by_hand"),
        "per cent": ("return float(", "return float(100 * ", "by_hand"),
        "rewards above 0": ("(gain > other)", "(gain > 0)", "reference_matters"),
        "always one half": ("(gain > other).mean() + (gain == other).mean() / 2", "0.5", "by_hand"),
        "ties are wrong": (" + (gain == other).mean() / 2", "", "ties"),
        "ties are right": ("(gain == other).mean() / 2", "(gain == other).mean()", "ties"),
        "ties left out": (
            "float((gain > other).mean() + (gain == other).mean() / 2)",
            "float((gain > other).sum() / max(1, (gain != other).sum()))",
            "ties",
        ),
        "the first pair left out": ("(gain > other).mean()", "(gain > other)[len(gain) > 1 :].mean()", "by_hand"),
        "needs two pairs": ("return float(", "gain[1]; return float(", "one_alone"),
        "a NumPy scalar": (
            "return float((gain > other).mean() + (gain == other).mean() / 2)",
            "return (gain > other).mean() + (gain == other).mean() / 2",
            "by_hand",
        ),
        "in place": (
            "gain, other = chosen - reference_chosen,",
            "chosen -= reference_chosen; gain, other = chosen,",
            "inputs_unchanged",
        ),
    },
}
