"""Wrong solutions of chapter 19: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "llama_2_template": {
        "the system by itself": (
            "system = f\"<<SYS>>\\n{message['content']}\\n<</SYS>>\\n\\n\"",
            "text += f\"<<SYS>>\\n{message['content']}\\n<</SYS>>\\n\\n\"",
            "a_system_message",
        ),
        "the system is left out": ("(system + message['content'])", "message['content']", "a_system_message"),
        "no line ends around the system": (
            "f\"<<SYS>>\\n{message['content']}\\n<</SYS>>\\n\\n\"",
            "f\"<<SYS>>{message['content']}<</SYS>>\"",
            "a_system_message",
        ),
        "one <s> for everything": (
            'text += f"<s>[INST] {',
            'text += ("" if text else "<s>") + f"[INST] {',
            "two_exchanges",
        ),
        "no space before </s>": ("['content'].strip()} </s>", "['content'].strip()}</s>", "two_exchanges"),
        "no space before the answer": ('text += f" {message', 'text += f"{message', "two_exchanges"),
        "answers do not end": (".strip()} </s>", ".strip()} ", "two_exchanges"),
        "the system in every question": ('            system = ""', "            pass", "two_exchanges"),
        "nothing is stripped": ("message['content'].strip()", "message['content']", "white_space"),
        "questions are not stripped": (
            "(system + message['content']).strip()",
            "system + message['content']",
            "white_space",
        ),
        "system and question are stripped apart": (
            "(system + message['content']).strip()",
            "system + message['content'].strip()",
            "white_space",
        ),
        "the text is stripped": ("return text", "return text.strip().replace(' [/INST]', '[/INST]')", "nothing_said"),
        "something comes out of nothing": ("return text", "return text or '<s>'", "nothing_said"),
        "the default of the model's card": (
            'text, system = "", ""',
            'text, system = "", "<<SYS>>\\nYou are helpful.\\n<</SYS>>\\n\\n"',
            "two_exchanges",
        ),
        "strips the messages in place": (
            "    for message in messages:",
            '    for message in messages:\n        message["content"] = message["content"].strip()',
            "inputs_unchanged",
        ),
    },
    "mask_from_roles": {
        "the end is not trained": (
            '        trained += [train_on == "all" or number in chosen] * len(said)',
            '        trained += [train_on == "all" or number in chosen] * len(turn["content"])\n        trained += [train_on == "all"] * len(turn["end"])',
            "one_answer",
        ),
        "the header is trained": (
            'trained += [train_on == "all"] * len(turn["header"])',
            'trained += [train_on == "all" or number in chosen] * len(turn["header"])',
            "one_answer",
        ),
        "every end is trained": (
            '        trained += [train_on == "all" or number in chosen] * len(said)',
            '        trained += [train_on == "all" or number in chosen] * len(turn["content"])\n        trained += [True] * len(turn["end"])',
            "one_answer",
        ),
        "the question is trained": ('turn["role"] == "assistant"', 'turn["role"] == "user"', "one_answer"),
        "everybody but the user": ('turn["role"] == "assistant"', 'turn["role"] != "user"', "long_talks"),
        "the mask is shifted already": (
            "return np.array(ids, np.int64), np.array(trained, bool)",
            "return np.array(ids, np.int64), np.array([*trained[1:], False][: len(ids)], bool)",
            "one_answer",
        ),
        "zeros": ("np.array(trained, bool)", "np.zeros(len(ids), bool)", "one_answer"),
        "last is every": ('answers[-1:] if train_on == "last" else answers', "answers", "only_the_last"),
        "last is the first": ("answers[-1:]", "answers[:1]", "only_the_last"),
        "last is the last turn": ("answers[-1:]", "[len(turns) - 1]", "only_the_last"),
        "all leaves the headers out": (
            'trained += [train_on == "all"] * len(turn["header"])',
            'trained += [False] * len(turn["header"])',
            "everything_but_nothing_less",
        ),
        "all is the answers": (
            'train_on == "all" or number in chosen',
            "number in chosen",
            "everything_but_nothing_less",
        ),
        "an answer is needed": ("answers[-1:]", "[answers[-1]]", "empty_parts"),
        "trained is integers": ("np.array(trained, bool)", "np.array(trained, np.int64)", "one_answer"),
        "int32": ("np.array(ids, np.int64)", "np.array(ids, np.int32)", "one_answer"),
        "the ids grow into the first content": (
            '        said = [*turn["content"], *turn["end"]]',
            '        said = turn["content"]\n        said += turn["end"]',
            "inputs_unchanged",
        ),
    },
    "masked_loss": {
        "no shift of the targets": ("targets = ids[1:][places]", "targets = ids[:-1][places]", "a_row_by_hand"),
        "the mask is not shifted": ("np.flatnonzero(trained[1:])", "np.flatnonzero(trained[:-1])", "a_row_by_hand"),
        "no mask": ("np.flatnonzero(trained[1:])", "np.arange(len(ids) - 1)", "a_row_by_hand"),
        "divided by the length": ("count = len(places) if", "count = len(ids) if", "a_row_by_hand"),
        "the sign": (
            "loss = float((np.log(sums[:, 0]) - rows[np.arange(len(places)), targets]).sum()) / count",
            "loss = -float((np.log(sums[:, 0]) - rows[np.arange(len(places)), targets]).sum()) / count",
            "a_row_by_hand",
        ),
        "the count includes the first token": ("count = len(places) if", "count = trained.sum() if", "longer_rows"),
        "the normaliser is ignored": (
            "len(places) if normaliser is None else float(normaliser)",
            "len(places)",
            "normaliser_counts",
        ),
        "divided twice": (
            "len(places) if normaliser is None else float(normaliser)",
            "len(places) * (1 if normaliser is None else float(normaliser))",
            "normaliser_counts",
        ),
        "the gradient is not divided": ("shares / count", "shares", "gradient_by_differences"),
        "no one at the target": ("shares[np.arange(len(places)), targets] -= 1", "pass", "gradient_by_differences"),
        "the gradient's sign": (
            "gradient[places] = shares / count",
            "gradient[places] = -shares / count",
            "gradient_by_differences",
        ),
        "the gradient of every row": (
            "    gradient[places] = shares / count",
            "    gradient += 1e-7\n    gradient[places] = shares / count",
            "gradient_by_differences",
        ),
        "a zero gradient": ("gradient[places] = shares / count", "pass", "gradient_by_differences"),
        "no maximum": ("logits[places] - logits[places].max(axis=-1, keepdims=True)", "logits[places]", "far_apart"),
        "one maximum for everything": (
            "logits[places].max(axis=-1, keepdims=True)",
            "logits[places].max()",
            "far_apart",
        ),
        "float64 creep": ("np.zeros_like(logits)", "np.zeros(logits.shape)", "keeps_float32_of_logits"),
        "the maximum is taken off in place": (
            "    rows = logits[places] - logits[places].max(axis=-1, keepdims=True)",
            "    logits -= logits.max(axis=-1, keepdims=True)\n    rows = logits[places]",
            "inputs_unchanged",
        ),
    },
    "pack_dialogues": {
        "only the last row is looked at": (
            "next((k for k, taken in enumerate(used) if taken + len(ids) <= context), len(used))",
            "len(used) - 1 if used and used[-1] + len(ids) <= context else len(used)",
            "fills_rows_in_order",
        ),
        "a row each": (
            "next((k for k, taken in enumerate(used) if taken + len(ids) <= context), len(used))",
            "len(used)",
            "fills_rows_in_order",
        ),
        "the last row with room": (
            "next((k for k, taken in enumerate(used) if taken + len(ids) <= context), len(used))",
            "max((k for k, taken in enumerate(used) if taken + len(ids) <= context), default=len(used))",
            "many",
        ),
        "the longest first": (
            "for ids, _ in dialogues:",
            "for ids, _ in sorted(dialogues, key=lambda pair: -len(pair[0])):",
            "many",
        ),
        "one segment for all": (
            "places.append((row, used[row], members[row]))",
            "places.append((row, used[row], 0))",
            "fills_rows_in_order",
        ),
        "segments go on through the rows": (
            "places.append((row, used[row], members[row]))",
            "places.append((row, used[row], len(places)))",
            "fills_rows_in_order",
        ),
        "empty places are targets": ("for filling in (0, -100, -1)", "for filling in (0, 0, -1)", "padding"),
        "empty places belong to the first": ("for filling in (0, -100, -1)", "for filling in (0, -100, 0)", "padding"),
        "one place stays free": ("taken + len(ids) <= context", "taken + len(ids) < context", "exact_fit"),
        "segments from one on": ("(ids, targets, number)", "(ids, targets, number + 1)", "padding"),
        "int32": ("np.int64) for filling", "np.int32) for filling", "fills_rows_in_order"),
        "too long ones are cut": (
            '            raise ValueError(f"a conversation of {len(ids)} tokens does not fit a context of {context}")',
            "            return pack_dialogues([(i[:context], t[:context]) for i, t in dialogues], context)",
            "too_long_is_refused",
        ),
        "targets are made anew": (
            "(ids, targets, number)",
            "(ids, np.append(ids[1:], -100), number)",
            "fills_rows_in_order",
        ),
        "taken out of the list": (
            "    for ids, _ in dialogues:",
            "    dialogues[0][1][-1] = -101\n    for ids, _ in dialogues:",
            "inputs_unchanged",
        ),
    },
}
