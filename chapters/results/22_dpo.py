"""Collects what chapter 22 shows of three runs of `align`: `python chapters/results/22_dpo.py RUN RUN RUN`.

A run is made by `python -m llm_from_scratch align --method dpo --data tales --model MODEL --template tales --seed N
--out RUN`, where MODEL is a tales model that was taught to answer (`finetune --data tales`). Writes 22_dpo.json.
"""

import json
import sys
from pathlib import Path

runs = []
for directory in map(Path, sys.argv[1:]):
    entries = [json.loads(line) for line in (directory / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    points = [{k: round(v, 4) for k, v in entry.items()} for entry in entries if "accuracy" in entry]
    settings = json.loads((directory / "run.json").read_text(encoding="utf-8"))["settings"]
    kept = {name: settings[name] for name in ("method", "beta", "tokens", "batch", "lr", "seed")}
    runs.append({"seed": settings["seed"], "settings": kept, "points": points})
text = json.dumps({"runs": runs}, indent=1)
Path(__file__).with_name("22_dpo.json").write_text(text + "\n", encoding="utf-8")
