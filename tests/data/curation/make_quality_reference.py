"""Writes fixtures/quality_reference.json: scikit-learn's logistic regression on the features of our classifier.

Run with scikit-learn installed: python tests/data/curation/make_quality_reference.py
"""

import json
from pathlib import Path

import numpy as np

BUCKETS, DECAY = 256, 1e-2
COMMON = "the a of and to it in was on that with for".split()
PROSE = "river night boat field morning water house door wind letter winter garden walked said looked thought".split()
TRADE = "cheap buy price watch deal click offer discount shop free online order sale best casino bonus".split()


def texts(seed: int) -> tuple[list[str], list[str]]:
    """40 good and 24 bad texts of mixed words."""
    rng = np.random.default_rng(seed)

    def one(own: list[str], other: list[str]) -> str:
        choice = rng.choice(3, size=rng.integers(8, 40), p=[0.5, 0.38, 0.12])
        return " ".join(str(rng.choice((COMMON, own, other)[i])) for i in choice)

    return [one(PROSE, TRADE) for _ in range(40)], [one(TRADE, PROSE) for _ in range(24)]


def main() -> None:
    from sklearn.linear_model import LogisticRegression

    from llm_from_scratch.data.curation.quality import features

    good, bad = texts(0)
    table = np.zeros((len(good) + len(bad), BUCKETS))
    for row, text in enumerate([*good, *bad]):
        places, values = features(text, BUCKETS)
        table[row, places] = values
    labels = np.repeat([1, 0], [len(good), len(bad)])
    # Its penalty stands beside a sum, ours beside a mean.
    regression = LogisticRegression(C=1 / (DECAY * len(labels)), class_weight="balanced", tol=1e-10, max_iter=10_000)
    scores = regression.fit(table, labels).predict_proba(table)[:, 1]
    frozen = {"made by": "make_quality_reference.py", "buckets": BUCKETS, "decay": DECAY, "scores": scores.tolist()}
    out = Path(__file__).parent / "fixtures" / "quality_reference.json"
    out.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
