"""Other right answers of chapter 19.

Exchanges by index, concatenated arrays, log-softmax over the whole row, rows as lists that are joined at the end.
"""

from __future__ import annotations

import numpy as np


def llama_2_template(messages):
    talk = list(messages)
    opening = ""
    if talk and talk[0]["role"] == "system":
        opening = "<<SYS>>\n" + talk.pop(0)["content"] + "\n<</SYS>>\n\n"
    parts = []
    for place, said in enumerate(talk):
        if place % 2 == 0:
            question = (opening if place == 0 else "") + said["content"]
            parts.append("<s>[INST] " + question.strip() + " [/INST]")
        else:
            parts.append(" " + said["content"].strip() + " </s>")
    return "".join(parts)


def mask_from_roles(turns, train_on="assistant"):
    last = max([k for k, turn in enumerate(turns) if turn["role"] == "assistant"], default=None)
    ids, trained = [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for k, turn in enumerate(turns):
        mine = {"all": True, "last": k == last, "assistant": turn["role"] == "assistant"}[train_on]
        for part in ("header", "content", "end"):
            values = np.array(turn[part], np.int64)
            ids.append(values)
            trained.append(np.full(len(values), train_on == "all" or (mine and part != "header")))
    return np.concatenate(ids), np.concatenate(trained)


def masked_loss(logits, ids, trained, normaliser=None):
    targets = np.where(np.append(trained[1:], False), np.append(ids[1:], 0), -1)
    known = targets >= 0
    if normaliser is None:
        normaliser = known.sum()
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    hot = (np.arange(logits.shape[1]) == targets[:, None]).astype(logits.dtype)
    loss = -float(np.sum(np.where(hot > 0, logs, 0), dtype=np.float64)) / normaliser
    gradient = np.where(known[:, None], np.exp(logs) - hot, 0) / logits.dtype.type(normaliser)
    return float(loss), gradient.astype(logits.dtype)


def pack_dialogues(dialogues, context):
    rows = []
    for pair in dialogues:
        size = len(pair[0])
        if size > context:
            raise ValueError("too long")
        for row in rows:
            if sum(len(ids) for ids, _ in row) + size <= context:
                row.append(pair)
                break
        else:
            rows.append([pair])
    ids, targets, segments = (np.zeros((len(rows), context), np.int64) for _ in range(3))
    targets -= 100
    segments -= 1
    for k, row in enumerate(rows):
        joined = np.concatenate([pair[0] for pair in row])
        ids[k, : len(joined)] = joined
        targets[k, : len(joined)] = np.concatenate([pair[1] for pair in row])
        segments[k, : len(joined)] = np.repeat(np.arange(len(row)), [len(pair[0]) for pair in row])
    return ids, targets, segments
