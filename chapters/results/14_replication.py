"""Chinchilla's points, fitted again: python chapters/results/14_replication.py svg_extracted_data.csv

The file is data/svg_extracted_data.csv of the public repository epoch-research/analyzing-chinchilla: 245 points that
Besiroglu et al. 2024 (arXiv:2404.10102) read off figure 4 of the Chinchilla paper. As they did, the five runs with the
fewest tokens a parameter are left out. Writes what the published objective is at three sets of constants, and the
constants where it is smallest, to 14_replication.json.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

from llm_from_scratch import scaling as S
from llm_from_scratch.files.atomic import write_text

NAMES = ("E", "A", "B", "alpha", "beta")


def main(path):
    with open(path, encoding="utf-8") as file:
        rows = [[float(row[name]) for name in ("Model Size", "Training FLOP", "loss")] for row in csv.DictReader(file)]
    sizes, flops, losses = np.array(rows).T
    tokens = flops / (6 * sizes)
    kept = np.argsort(tokens / sizes)[5:]
    data = sizes[kept], tokens[kept], losses[kept]
    found = S.fit_parametric(*data)
    spread = S.bootstrap(*data, np.random.default_rng(0), draws=100)
    laws = {"printed": S.CHINCHILLA, "replication": S.REPLICATION, "fitted here": found}
    kept_here = {"command": "python chapters/results/14_replication.py svg_extracted_data.csv", "points": len(kept)}
    kept_here["objective"] = {
        name: float(f"{S.huber_objective(theta(law), *np.log(data), delta=1e-3)[0]:.5g}") for name, law in laws.items()
    }
    kept_here["fit"] = {name: float(f"{getattr(found, name):.5g}") for name in NAMES}
    kept_here["95 %"] = {name: [float(f"{x:.4g}") for x in spread.interval(name)] for name in NAMES}
    optimum = spread.interval(lambda law: S.optimal_allocation(5.76e23, law)[0])
    kept_here["95 %"]["N* at 5.76e23"] = [float(f"{x:.3g}") for x in optimum]
    write_text(Path(__file__).with_name("14_replication.json"), json.dumps(kept_here) + "\n")


def theta(law):
    return np.array([np.log(law.A), np.log(law.B), np.log(law.E), law.alpha, law.beta])


if __name__ == "__main__":
    main(sys.argv[1])
