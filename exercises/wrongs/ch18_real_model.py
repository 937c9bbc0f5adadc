"""Wrong solutions of chapter 18: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "dequantize_q4_1": {
        "scale and minimum exchanged": (
            "return d * codes.astype(np.float32) + m",
            "return m * codes.astype(np.float32) + d",
            "one_block_by_hand",
        ),
        "the minimum is subtracted": ("+ m", "- m", "one_block_by_hand"),
        "no minimum": (" + m", "", "one_block_by_hand"),
        "the minimum is scaled": (
            "d * codes.astype(np.float32) + m",
            "d * (codes.astype(np.float32) + m)",
            "one_block_by_hand",
        ),
        "codes centred as in Q4_0": ("codes.astype(np.float32)", "(codes.astype(np.float32) - 8)", "one_block_by_hand"),
        "high halves first": (
            "[blocks[:, 4:] & 15, blocks[:, 4:] >> 4]",
            "[blocks[:, 4:] >> 4, blocks[:, 4:] & 15]",
            "order_of_the_nibbles",
        ),
        "neighbours from one byte": (
            "np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)",
            "np.stack([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=2).reshape(len(blocks), -1)",
            "order_of_the_nibbles",
        ),
        "high halves not shifted": ("blocks[:, 4:] >> 4", "blocks[:, 4:] & 240", "one_block_by_hand"),
        "low halves not masked": ("blocks[:, 4:] & 15", "blocks[:, 4:]", "one_block_by_hand"),
        "scale read as a whole number": (
            'd = blocks[:, 0:2].copy().view("<f2")',
            'd = blocks[:, 0:2].copy().view("<u2")',
            "one_block_by_hand",
        ),
        "big-endian": (
            'd = blocks[:, 0:2].copy().view("<f2")',
            'd = blocks[:, 0:2].copy().view(">f2")',
            "one_block_by_hand",
        ),
        "every block with the first block's scale": ("return d *", "return d[:1] *", "many_blocks"),
        "computes in float16": (
            "return d * codes.astype(np.float32) + m",
            "return (d.astype(np.float16) * codes.astype(np.float16) + m.astype(np.float16)).astype(np.float32)",
            "keeps_float32_of_blocks",
        ),
        "float64 creep": ("codes.astype(np.float32)", "codes.astype(np.float64)", "one_block_by_hand"),
        "zeros": ("return d *", "return 0 *", "one_block_by_hand"),
        "changes its input": (
            "codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)",
            "high = blocks[:, 4:] >> 4; blocks[:, 4:] &= 15; codes = np.concatenate([blocks[:, 4:], high], axis=1)",
            "inputs_unchanged",
        ),
    },
    "halves_from_interleaved": {
        "the other way": (
            "weight.reshape(heads, -1, 2, inputs)",
            "weight.reshape(heads, 2, -1, inputs)",
            "rows_go_home",
        ),
        "identity": ("pairs.swapaxes(1, 2).reshape(-1, inputs)", "pairs.reshape(-1, inputs).copy()", "rows_go_home"),
        "one head for all": (
            "weight.reshape(heads, -1, 2, inputs)",
            "weight.reshape(1, -1, 2, inputs)",
            "each_head_by_itself",
        ),
        "halves in the wrong order": ("pairs.swapaxes(1, 2)", "pairs.swapaxes(1, 2)[:, ::-1]", "rows_go_home"),
        "heads in the wrong order": ("pairs.swapaxes(1, 2)", "pairs.swapaxes(1, 2)[::-1]", "each_head_by_itself"),
        "head axis exchanged with pairs": ("pairs.swapaxes(1, 2)", "pairs.swapaxes(0, 2)", "each_head_by_itself"),
        "one input is squeezed": (
            "return pairs.swapaxes(1, 2).reshape(-1, inputs)",
            "return pairs.squeeze().swapaxes(1, 2).reshape(-1, inputs) if inputs == 1 else pairs.swapaxes(1, 2).reshape(-1, inputs)",
            "smallest_heads",
        ),
        "returns a changed input": (
            "return pairs.swapaxes(1, 2).reshape(-1, inputs)",
            "weight[...] = pairs.swapaxes(1, 2).reshape(-1, inputs); return weight",
            "returns_new_rows",
        ),
        "float64 creep": (
            "return pairs.swapaxes(1, 2).reshape(-1, inputs)",
            "return pairs.swapaxes(1, 2).reshape(-1, inputs).astype(np.float64)",
            "returns_new_rows",
        ),
    },
    "logit_lens": {
        "no norm": ("states * scale * norm_weight", "states", "reads_a_state_by_hand"),
        "no weight of the norm": ("* scale * norm_weight", "* scale", "reads_a_state_by_hand"),
        "LayerNorm": (
            "    scale =",
            "    states = states - states.mean(axis=-1, keepdims=True)\n    scale =",
            "reads_a_state_by_hand",
        ),
        "norm over tokens": (
            "np.mean(states * states, axis=-1, keepdims=True)",
            "np.mean(states * states, axis=1, keepdims=True)",
            "reads_a_state_by_hand",
        ),
        "norm over all layers": (
            "np.mean(states * states, axis=-1, keepdims=True)",
            "np.mean(states * states)",
            "reads_a_state_by_hand",
        ),
        "root of the sum": ("np.mean(", "np.sum(", "reads_a_state_by_hand"),
        "mean square without the root": ("** -0.5", "** -1", "reads_a_state_by_hand"),
        "no softmax": ("return shares / shares.sum(axis=-1, keepdims=True)", "return logits", "reads_a_state_by_hand"),
        "not normalised": (
            "return shares / shares.sum(axis=-1, keepdims=True)",
            "return shares",
            "reads_a_state_by_hand",
        ),
        "softmax over tokens": ("shares.sum(axis=-1", "shares.sum(axis=1", "reads_a_state_by_hand"),
        "no maximum subtracted": (
            "np.exp(logits - logits.max(axis=-1, keepdims=True))",
            "np.exp(logits)",
            "large_logits",
        ),
        "one maximum for everything": ("logits.max(axis=-1, keepdims=True)", "logits.max()", "large_logits"),
        "float32 inside": (
            "logits = (states * scale * norm_weight) @ head.T",
            "logits = ((states * scale * norm_weight).astype(np.float32) @ head.T.astype(np.float32)).astype(states.dtype)",
            "reads_a_state_by_hand",
        ),
        "the mean taken off": (
            "logits.max(axis=-1, keepdims=True)",
            "logits.mean(axis=-1, keepdims=True)",
            "large_logits",
        ),
        "one layer is squeezed": (
            "return shares / shares.sum(axis=-1, keepdims=True)",
            "return (shares / shares.sum(axis=-1, keepdims=True)).squeeze()",
            "smallest_lens",
        ),
        "eps is missing": ("+ eps)", ")", "eps_is_used"),
        "eps is built in": ("+ eps)", "+ 1e-5)", "eps_is_used"),
        "eps beside the root": (
            "(np.mean(states * states, axis=-1, keepdims=True) + eps) ** -0.5",
            "1 / (np.mean(states * states, axis=-1, keepdims=True) ** 0.5 + eps)",
            "eps_is_used",
        ),
        "float64 creep": ("+ eps) ** -0.5", "+ np.float64(eps)) ** -0.5", "keeps_float32_of_states"),
        "scales the states in place": (
            "    logits = (states * scale",
            "    states *= scale; logits = (states",
            "inputs_unchanged",
        ),
    },
    "chatml": {
        "no line end after a message": (
            "{message['content']}<|im_end|>\\n",
            "{message['content']}<|im_end|>",
            "a_conversation",
        ),
        "no line end after the role": ("{message['role']}\\n", "{message['role']} ", "a_conversation"),
        "contents are trimmed": ("{message['content']}", "{message['content'].strip()}", "a_conversation"),
        "no default": ('messages[0]["role"] != "system"', "False", "default_system"),
        "default always": ('messages and messages[0]["role"] != "system"', "messages", "a_conversation"),
        "default unless a system message comes anywhere": (
            'messages[0]["role"] != "system"',
            'all(m["role"] != "system" for m in messages)',
            "a_late_system_message",
        ),
        "default for nothing": ("if messages and messages[0]", "if not messages or messages[0]", "nothing_said"),
        "the answer always begins": ('if add_generation_prompt else ""', "", "a_conversation"),
        "the answer never begins": (
            '("<|im_start|>assistant\\n" if add_generation_prompt else "")',
            '""',
            "the_answer_begins",
        ),
        "no line end where the answer begins": (
            '"<|im_start|>assistant\\n" if',
            '"<|im_start|>assistant" if',
            "the_answer_begins",
        ),
        "the answer is closed at once": (
            '"<|im_start|>assistant\\n" if',
            '"<|im_start|>assistant\\n<|im_end|>\\n" if',
            "the_answer_begins",
        ),
        "roles are not named": ("<|im_start|>{message['role']}\\n", "<|im_start|>user\\n", "a_conversation"),
        "the last message only": ("for message in messages:", "for message in messages[-1:]:", "a_conversation"),
        "the default is inserted into the list": (
            'text += f"<|im_start|>system\\n{default_system}<|im_end|>\\n"',
            'messages.insert(0, {"role": "system", "content": default_system})',
            "inputs_unchanged",
        ),
    },
}
