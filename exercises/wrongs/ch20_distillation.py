"""Wrong solutions of chapter 20: name -> (text in the worked solution, what replaces it, the check that must fail)."""

from __future__ import annotations

WRONGS = {
    "softened_divergence": {
        "reverse divergence": (
            "(np.exp(log_t) * (log_t - log_s))",
            "(np.exp(log_s) * (log_s - log_t))",
            "two_words_by_hand",
        ),
        "cross-entropy": ("(log_t - log_s)", "(-log_s)", "two_words_by_hand"),
        "the other sign": ("(log_t - log_s)", "(log_s - log_t)", "two_words_by_hand"),
        "gradient with the other sign": (
            "(np.exp(log_s) - np.exp(log_t))",
            "(np.exp(log_t) - np.exp(log_s))",
            "two_words_by_hand",
        ),
        "zeros": (
            "return temperature**2 * divergence.mean(), gradient",
            "return 0.0, np.zeros_like(student)",
            "two_words_by_hand",
        ),
        "no square": ("temperature**2 * divergence", "divergence", "loss_at_a_temperature"),
        "temperature once": ("temperature**2 * divergence", "temperature * divergence", "loss_at_a_temperature"),
        "teacher not softened": ("t = teacher / temperature", "t = teacher * 1", "loss_at_a_temperature"),
        "logits multiplied": ("s = student / temperature", "s = student * temperature", "loss_at_a_temperature"),
        "gradient without temperature": ("gradient = temperature * (", "gradient = (", "gradient_at_a_temperature"),
        "gradient with the square": (
            "gradient = temperature * (",
            "gradient = temperature**2 * (",
            "gradient_at_a_temperature",
        ),
        "gradient divided by the temperature": (
            "gradient = temperature * (np.exp(log_s) - np.exp(log_t))",
            "gradient = (np.exp(log_s) - np.exp(log_t)) / temperature",
            "gradient_at_a_temperature",
        ),
        "sum over rows": ("divergence.mean()", "divergence.sum()", "several_rows"),
        "gradient of the sum": (" / len(student)", "", "several_rows"),
        "mean over words, too": (
            "(np.exp(log_t) * (log_t - log_s)).sum(axis=-1)",
            "(np.exp(log_t) * (log_t - log_s)).mean(axis=-1)",
            "several_rows",
        ),
        "no maximum": ("s = s - s.max(axis=-1, keepdims=True)", "pass", "far_logits"),
        "no maximum of the teacher's": ("t = t - t.max(axis=-1, keepdims=True)", "pass", "far_logits"),
        "one maximum for all rows": ("s.max(axis=-1, keepdims=True)", "s.max()", "far_logits"),
        "float64 creep": (
            "gradient = temperature * (",
            "gradient = np.float64(temperature) * (",
            "keeps_float32_of_logits",
        ),
        "shifts the student in place": (
            "s = student / temperature",
            "student -= student.max(axis=-1, keepdims=True); s = student / temperature",
            "inputs_unchanged",
        ),
    },
    "generalised_jensen_shannon": {
        "mixed logarithms": (
            "np.logaddexp(math.log(beta) + log_t, math.log1p(-beta) + log_s)",
            "beta * log_t + (1 - beta) * log_s",
            "opposite_beliefs",
        ),
        "no weights": ("total + weight * (p * ratio)", "total + (p * ratio)", "opposite_beliefs"),
        "rescaled": ("return total", "return total / (beta * (1 - beta))", "opposite_beliefs"),
        "divergences from the mixture": ("(p * ratio)", "(-np.exp(log_m) * ratio)", "opposite_beliefs"),
        "zeros": ("return total", "return total * 0", "opposite_beliefs"),
        "beta exchanged in the mixture": (
            "math.log(beta) + log_t, math.log1p(-beta) + log_s",
            "math.log(beta) + log_s, math.log1p(-beta) + log_t",
            "beta_is_the_teachers_share",
        ),
        "weights exchanged": (
            "((beta, log_t), (1 - beta, log_s))",
            "((1 - beta, log_t), (beta, log_s))",
            "beta_is_the_teachers_share",
        ),
        "beta is the student's": ("logs = []", "logs = []; beta = 1 - beta", "beta_is_the_teachers_share"),
        "beta is always one half": ("logs = []", "logs = []; beta = 0.5", "beta_is_the_teachers_share"),
        "zero times infinity": (
            "ratio = np.subtract(log_p, log_m, out=np.zeros_like(p), where=p > 0)",
            "ratio = log_p - log_m",
            "what_nobody_says",
        ),
        "no maximum": ("shifted = logits - logits.max(axis=-1, keepdims=True)", "shifted = logits * 1", "far_apart"),
        "one maximum for all rows": ("logits.max(axis=-1, keepdims=True)", "logits.max()", "far_apart"),
        "float64 creep": ("np.zeros_like(student[:, 0])", "np.zeros(len(student))", "keeps_float32_of_rows"),
        "changes the logits": (
            "shifted = logits - logits.max(axis=-1, keepdims=True)",
            "logits -= logits.max(axis=-1, keepdims=True); shifted = logits",
            "inputs_unchanged",
        ),
    },
    "sequence_set": {
        "equal answers stay": ("text not in seen and ", "", "answers_are_wanted_once"),
        "one set for all prompts": (
            "seen: set[str] = set()",
            'seen = {row["answer"] for row in kept}',
            "answers_are_wanted_once",
        ),
        "the first good answer is enough": ('"answer": text})', '"answer": text}); break', "answers_are_wanted_once"),
        "answers are not stripped": ("teach(prompt, k).strip()", "teach(prompt, k)", "answers_are_wanted_once"),
        "silence stays": ("if text and text", "if text", "what_is_not_kept"),
        "no filter": (" and keep(prompt, text)", "", "what_is_not_kept"),
        "the filter turned round": ("and keep(prompt, text)", "and not keep(prompt, text)", "what_is_not_kept"),
        "the filter sees white space": ("keep(prompt, text)", 'keep(prompt, text + " ")', "what_is_not_kept"),
        "the same try each time": ("teach(prompt, k)", "teach(prompt, 0)", "every_try_is_its_own"),
        "tries from 1 on": ("range(tries)", "range(1, tries + 1)", "every_try_is_its_own"),
        "a try too few": ("range(tries)", "range(tries - 1)", "every_try_is_its_own"),
        "the teacher is asked again": (
            '"answer": text}',
            '"answer": teach(prompt, k).strip()}',
            "every_try_is_its_own",
        ),
        "stops at the first try of all": ("return kept", "return kept or None", "nothing_asked"),
        "prompts are used up": (
            "for prompt in prompts:",
            "for prompt in [prompts.pop(0) for _ in range(len(prompts))]:",
            "nothing_asked",
        ),
    },
}
