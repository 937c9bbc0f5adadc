"""Wrong solutions of chapter 10: name -> (text in the worked solution, what replaces it, the check that must fail)."""

from __future__ import annotations

WRONGS = {
    "deepnorm_constants": {
        "square roots, as GLM-130B": (
            "((2 * (n + m)) ** 0.25, (8 * (n + m)) ** -0.25)",
            "((2 * (n + m)) ** 0.5, (2 * (n + m)) ** -0.5)",
            "a_decoder_alone",
        ),
        "alpha and beta swapped": (
            "((2 * (n + m)) ** 0.25, (8 * (n + m)) ** -0.25)",
            "((8 * (n + m)) ** -0.25, (2 * (n + m)) ** 0.25)",
            "a_decoder_alone",
        ),
        "the formula of two stacks for one": ("if not n or not m:", "if not m:", "a_decoder_alone"),
        "the stacks are mistaken for each other": (
            "return (alone, None) if n else (None, alone)",
            "return (alone, None) if m else (None, alone)",
            "an_encoder_alone",
        ),
        "a stack that is not there has constants": (
            "return (alone, None) if n else (None, alone)",
            "return alone, alone",
            "an_encoder_alone",
        ),
        "N and M swapped": ("(n**4 * m) ** (1 / 16)", "(m**4 * n) ** (1 / 16)", "both_stacks"),
        "the encoder forgets the decoder": ("(n**4 * m) ** (1 / 16)", "(n**4) ** (1 / 16)", "both_stacks"),
        "beta grows with the depth": ("0.87 / both", "0.87 * both", "both_stacks"),
        "the decoder as if alone": (
            "((3 * m) ** 0.25, (12 * m) ** -0.25)",
            "((2 * m) ** 0.25, (8 * m) ** -0.25)",
            "both_stacks",
        ),
        "a single layer is none": ("if not n or not m:", "if n < 2 or m < 2:", "one_layer"),
        "nothing is scaled": (
            "alone = ((2 * (n + m)) ** 0.25, (8 * (n + m)) ** -0.25)",
            "alone = (1.0, 1.0)",
            "a_decoder_alone",
        ),
    },
    "block_backward": {
        "always parallel": ("if parallel:", "if True:", "one_after_the_other"),
        "never parallel": ("if parallel:", "if False:", "side_by_side"),
        "attention's turn first": (
            "dz = alpha * dy + feed_forward_vjp(dy)",
            "attention_vjp, feed_forward_vjp = feed_forward_vjp, attention_vjp; dz = alpha * dy + feed_forward_vjp(dy)",
            "one_after_the_other",
        ),
        "no residual in the parallel layer": (
            "alpha * dy + attention_vjp(dy) + feed_forward_vjp(dy)",
            "attention_vjp(dy) + feed_forward_vjp(dy)",
            "side_by_side",
        ),
        "no residual around attention": (
            "return alpha * dz + attention_vjp(dz)",
            "return attention_vjp(dz)",
            "one_after_the_other",
        ),
        "the residual twice": (
            "alpha * dy + attention_vjp(dy) +",
            "2 * alpha * dy + attention_vjp(dy) +",
            "side_by_side",
        ),
        "attention gets dy": ("attention_vjp(dz)", "attention_vjp(dy)", "one_after_the_other"),
        "alpha once": ("return alpha * dz", "return dz", "alpha_counts_at_every_residual"),
        "no alpha": ("dz = alpha * dy", "dz = dy", "alpha_counts_at_every_residual"),
        "alpha weighs the functions": (
            "alpha * dy + attention_vjp(dy) + feed_forward_vjp(dy)",
            "dy + alpha * (attention_vjp(dy) + feed_forward_vjp(dy))",
            "alpha_counts_at_every_residual",
        ),
        "identity": ("if parallel:", "return 1 * dy\n    if parallel:", "side_by_side"),
        "float64 creep": ("dz = alpha * dy", "dz = np.float64(alpha) * dy", "keeps_float32_on_the_way_back"),
        "adds in place": (
            "dz = alpha * dy + feed_forward_vjp(dy)",
            "dz = dy; dz += feed_forward_vjp(dy)",
            "inputs_unchanged",
        ),
    },
    "initial_std": {
        "no scaling": (
            "0.02 / math.sqrt(2 * layers) if writes else 0.02",
            "0.02",
            "gpt2_scales_what_writes_to_the_stream",
        ),
        "one addition a layer": ("math.sqrt(2 * layers)", "math.sqrt(layers)", "gpt2_scales_what_writes_to_the_stream"),
        "no root": ("0.02 / math.sqrt(2 * layers)", "0.02 / (2 * layers)", "gpt2_scales_what_writes_to_the_stream"),
        "every matrix is scaled": ("if writes else 0.02", "if True else 0.02", "gpt2_scales_what_writes_to_the_stream"),
        "readers and writers mistaken": (
            "if writes else math.sqrt(2 / (5 * width))",
            "if not writes else math.sqrt(2 / (5 * width))",
            "neox_has_two_rules",
        ),
        "the depth under the root": (
            "2 / (layers * math.sqrt(width))",
            "2 / math.sqrt(layers * width)",
            "neox_has_two_rules",
        ),
        "the 5 is missing": ("2 / (5 * width)", "2 / width", "neox_has_two_rules"),
        "variance for standard deviation": ("math.sqrt(2 / (5 * width))", "2 / (5 * width)", "neox_has_two_rules"),
        "plain is scaled, too": ('if rule == "gpt2":', 'if rule in ("gpt2", "plain"):', "plain_is_plain"),
        "a rule that begins like GPT-2's": (
            'if rule == "gpt2":',
            'if rule.startswith("gpt2"):',
            "an_unknown_rule_is_refused",
        ),
        "refused only where the stream is written": (
            'if rule != "plain":',
            'if rule != "plain" and writes:',
            "an_unknown_rule_is_refused",
        ),
        "a single layer is not scaled": (
            "if writes else 0.02",
            "if writes and layers > 1 else 0.02",
            "one_layer_of_width_one",
        ),
        "any rule is plain": ('if rule != "plain":', "if False:", "an_unknown_rule_is_refused"),
    },
}
