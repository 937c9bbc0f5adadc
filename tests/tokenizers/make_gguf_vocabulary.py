"""Cut the real SmolLM2 vocabulary down to what the frozen texts can use: python make_gguf_vocabulary.py MODEL.gguf

fixtures/smollm2_tokens.json holds ids that llama.cpp gives for some nasty texts. A merge can only happen in them if its
result is part of a text, so the other 48,000 merges may be left out; ids are renumbered in the order of the old ones.
Writes fixtures/smollm2_reduced.json: the metadata of a small tokenizer, and the expected ids.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent / "fixtures"


def main(path):
    from llm_from_scratch.files.gguf import GgufFile
    from llm_from_scratch.tokenizers.byte_level import to_bytes

    metadata = GgufFile(path).metadata
    frozen = json.loads((HERE / "smollm2_tokens.json").read_text(encoding="utf-8"))
    everything = b"\0".join(case["text"].encode("utf-8") for case in frozen["special"] + frozen["plain"])
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"].tolist()
    numbers = {token: number for number, token in enumerate(tokens)}
    kept = {number for number, token in enumerate(tokens) if types[number] != 1 or len(to_bytes(token) or b"ab") == 1}
    merges = []
    for merge in metadata["tokenizer.ggml.merges"]:
        left, right = merge.split(" ")
        if to_bytes(left + right) in everything:
            merges.append(merge)
            kept |= {numbers[left], numbers[right], numbers[left + right]}
    order = sorted(kept)
    new = {old: number for number, old in enumerate(order)}
    reduced = {key: value for key, value in metadata.items() if key.startswith("tokenizer.ggml.")}
    reduced |= {key: new[value] for key, value in reduced.items() if key.endswith("_token_id")}
    reduced["tokenizer.ggml.tokens"] = [tokens[old] for old in order]
    reduced["tokenizer.ggml.token_type"] = [types[old] for old in order]
    reduced["tokenizer.ggml.merges"] = merges
    cases = {
        kind: [{"text": case["text"], "ids": [new[old] for old in case["ids"]]} for case in frozen[kind]]
        for kind in ("special", "plain")
    }
    content = {"source": frozen["source"], "metadata": reduced, **cases}
    (HERE / "smollm2_reduced.json").write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
