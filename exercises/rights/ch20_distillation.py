"""Other right answers of chapter 20.

logaddexp.reduce for the normaliser, einsum for the weights, Bayes' way to the mixture, a dictionary that keeps order.
"""

from __future__ import annotations

import numpy as np


def _logs(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def softened_divergence(student, teacher, temperature):
    ours, theirs = _logs(student / temperature), _logs(teacher / temperature)
    wanted = np.exp(theirs)
    loss = np.einsum("nv,nv->", wanted, theirs - ours) / student.shape[0] * temperature * temperature
    return float(loss), (np.exp(ours) - wanted) * (temperature / student.shape[0])


def generalised_jensen_shannon(student, teacher, beta):
    s, t = np.exp(_logs(student)), np.exp(_logs(teacher))
    m = beta * t + (1 - beta) * s
    safe = np.where(m > 0, m, 1)
    out = 0
    for share, p in ((beta, t), (1 - beta, s)):
        out = out + share * (p * np.log(np.where(p > 0, p / safe, 1))).sum(-1)
    return out


def sequence_set(prompts, teach, keep, tries):
    found = []
    for prompt in list(prompts):
        answers = dict.fromkeys(text.strip() for text in [teach(prompt, k) for k in range(tries)])
        found += [{"prompt": prompt, "answer": a} for a in answers if a and keep(prompt, a)]
    return found
