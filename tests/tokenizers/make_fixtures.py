"""Freeze what the libraries `tokenizers` and `tiktoken` do, for the parity tests beside this file.

    python tests/tokenizers/make_fixtures.py

needs `tokenizers` and `tiktoken` (pip install ".[peers]"); the tests need neither. Writes fixtures/*.json. The files
hold the texts, the merges that `tokenizers` learns from them in several settings, and the ids that both libraries give
the nasty texts. This script uses nothing of llm_from_scratch but the names of patterns and their published text.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import tiktoken
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from llm_from_scratch.kernels.splitting import SCHEMES
from llm_from_scratch.tokenizers.pre_tokenizer import PUBLISHED

FIXTURES = Path(__file__).parent / "fixtures"

NASTY = [
    "",
    " ",
    "a",
    "Hello, world! It's 2023 and we're done; they'll say I'd've known.",
    "SHOUTING: IT'S, WE'RE, THEY'LL, I'D, I'VE, I'M, DON'T, 'TWAS, 'Re",
    "long s: it'\u017f it'\u017felf itself, o'clock, rock'n'roll, ''quotes'' '' '",
    "naïve café résumé Ångström São Paulo Łódź Zürich œuvre straße",
    "decomposed: cafe\u0301 n\u0303 a\u0323\u0301\u0302 \u0301 leading mark, x\u0301\u0301y",
    "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 1️⃣ ❤️ text ☃︎ 🤦🏼‍♂️🤦🏼‍♂️",
    "漢字かな交じり文。カタカナ、ﾊﾝｶｸ 한글 텍스트 中文，没有空格的句子！《书名》",
    "שלום עולם! مرحبا بالعالم، كيف الحال؟ \u202emixed\u202c \u200fRTL\u200e 123 ٣٤٥",
    "हिन्दी में देवनागरी, ไทยไม่มีช่องว่าง, தமிழ், ქართული, ⵜⵉⴼⵉⵏⴰⵖ, Ελληνικά, кириллица",
    "control \x00\x01\x02\x07\x08\x0b\x0c\x1b\x1c\x1d\x1e\x1f\x7f\x80\x85\x9f end",
    "    four spaces, then\t\ttabs \t mixed  \n\n\nthree lines\r\n\r\nwindows\r old mac \n ",
    "trailing spaces   ",
    "trailing newline\n",
    "trailing mix \n  \n\t ",
    "\n\n\n",
    "   \n   x   \n\ny \n\n z",
    "nbsp\u00a0between\u00a0\u00a0words \u00a0 \u2003em\u2009thin\u3000ideographic"
    "\u200bzero\u2060joiner\ufeffbom\u1680og\u2028ls\u2029ps",
    "0 00 1234567890 3.14159 1,000,000 0x1F 1e-9 ½¾ Ⅻ x² ₃ ٣ 四 २०२३ 12ab34 a1b2",
    "def f(x):\n    return x**2  # square\n\n\tif True:\n\t\tpass\n        ok()\n",
    '<html><body class="a b">&nbsp;</body></html> https://example.org/a?b=c&d=%20#e foo@bar.com',
    "!!! ??? ... --- *** ___ ~~~ ((())) [[[]]] {{{}}} <<<>>> |||| \\\\\\\\ //// $$$ ^^^ ``` §¶†‡",
    "- - - --- ---- ----- ------ ------- -------- --------- ----------" + "-" * 61,
    "aaaaaaa aaaaaaaa aaaaaaaaa aaaaaaaaaa " + "a" * 100 + " " + "ab" * 70,
    "a.b. c .d , e,f ;g; h:i ::: j\u2026k l\u2014m n\u2013o \u201cp\u201d \u2018q\u2019 r's t\u2019s",
    "\ufffd replacement \U0010ffff last \ue000 private \U000e0001tags\U000e007f \ufdd0 non",
    "MixedCASE camelCase PascalCase snake_case kebab-case SCREAMING_SNAKE iPhone eBay McDonald's ǅ ǈ Ǆ",
    "x" + " " * 40 + "y" + "\n" * 20 + "z" + "\t" * 10,
    "<|endoftext|> <|end of text|> <| endoftext |>",
]

SPECIAL = [
    "<|a|>",
    "<|a|><|b|>",
    "x<|a|>y",
    "<|a|><|a|><|b|><|b|><|endoftext|>",
    "Hello<|endoftext|>World <|endoftext|> ",
    "<|endoftext|",
    "two    spaces <|a|>  and      more<|endoftext|>   ",
]


def training_text() -> str:
    """A few thousand words with many ties, some unusual characters and runs."""
    choose = random.Random(20230101)
    names = "Anna Ben Zoë José Łukasz 李明 мама cat dog fox bird river mountain house".split()
    verbs = "saw found carried wasn't couldn't they're sang 1234 2023 lost kept painted".split()
    things = "apple stone song letter lantern boat map coin 漢字 naïve café 👍🏽 garden".split()
    lines = []
    for number in range(420):
        line = (
            f"{choose.choice(names)} {choose.choice(verbs)} the {choose.choice(things)} "
            f"{choose.choice(['by', 'near', 'under', 'without'])} the {choose.choice(things)}"
            f"{choose.choice(['.', '!', '?', '...', '; it was late.', ', she said.', '   '])}"
        )
        if number % 17 == 0:
            line += "\n" + "-" * choose.randrange(1, 40)
        if number % 23 == 0:
            line += " " * choose.randrange(1, 30) + "\t" * choose.randrange(3)
        if number % 29 == 0:
            line += "a" * choose.randrange(1, 20) + " " + "ab" * choose.randrange(1, 9)
        lines.append(line)
    return "\n".join(lines) + "\n" + "\n".join(NASTY[:24])


def pre_tokenizer(name: str) -> pre_tokenizers.PreTokenizer:
    if name == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "digits":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PUBLISHED[name]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train(name: str, text: str, vocab_size: int, special: list[str], min_frequency: int) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(name)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def tiktoken_ids(name: str, model: dict, texts: list[str]) -> list[list[int]]:
    """The ids of tiktoken, given our ranks: its merges are tokens by rank, so it needs no pairs."""
    order = {character: byte for byte, character in enumerate(_byte_characters())}
    ranks = {bytes(order[c] for c in token): number for token, number in model["vocab"].items() if token[:2] != "<|"}
    encoding = tiktoken.Encoding(
        "fixture", pat_str=SCHEMES.get(name) or PUBLISHED[name], mergeable_ranks=ranks, special_tokens={}
    )
    return [encoding.encode_ordinary(text) for text in texts]


def _byte_characters() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + rest.index(byte)) for byte in range(256)]


def write(name: str, content: object) -> None:
    (FIXTURES / name).write_text(json.dumps(content) + "\n", encoding="utf-8")


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    text = training_text()
    write("texts.json", {"training": text, "nasty": NASTY, "special": SPECIAL})
    cases = {}
    for name in ("gpt2", "digits", "cl100k", "qwen2", "o200k", "bloom"):
        for special, vocab_size, min_frequency in (([], 700, 0), (["<|endoftext|>", "<|pad|>"], 100_000, 2)):
            if special and name not in ("gpt2", "cl100k"):
                continue
            tokenizer = train(name, text, vocab_size, special, min_frequency)
            model = json.loads(tokenizer.to_str())["model"]
            case = {
                "pattern": name,
                "special_tokens": special,
                "vocab_size": vocab_size,
                "min_frequency": min_frequency,
                "merges": [" ".join(pair) for pair in model["merges"]],
                "ids_of_merged": [model["vocab"]["".join(pair)] for pair in model["merges"]],
                "tokenizers": [tokenizer.encode(nasty).ids for nasty in NASTY[:-1]],
            }
            if name != "bloom":  # what BLOOM's pattern does not match, tiktoken drops
                case["tiktoken"] = tiktoken_ids(name, model, NASTY[:-1])
            cases[name + ("+special" if special else "")] = case
    write("parity.json", cases)

    # Few letters and long runs: pairs overlap themselves, and ties abound.
    runs = []
    for seed in range(12):
        choose = random.Random(seed)
        letters = "abc"[: 1 + seed % 3]
        words = [
            "".join(choose.choice(letters) * choose.randrange(1, 9) for _ in range(choose.randrange(1, 7)))
            for _ in range(40)
        ]
        text = " ".join(word for word in words for _ in range(choose.randrange(1, 4)))
        tokenizer = train("gpt2", text, 380, [], 0)
        model = json.loads(tokenizer.to_str())["model"]
        runs.append({"text": text, "merges": [" ".join(pair) for pair in model["merges"]]})
    write("runs.json", runs)

    # A file as the library writes it, with special tokens that overlap and added tokens that are plain text.
    tokenizer = train("gpt2", text, 320, ["<|endoftext|>"], 0)
    tokenizer.add_special_tokens(["<|a|>", "<|a|><|b|>"])
    tokenizer.add_tokens(
        [AddedToken("  ", normalized=True), AddedToken("    ", normalized=True), "two", "wo  sp", "x<|a|>y"]
    )
    (FIXTURES / "added").mkdir(exist_ok=True)
    tokenizer.save(str(FIXTURES / "added" / "tokenizer.json"))
    texts = NASTY + SPECIAL
    write(
        "added/expected.json",
        {"ids": [tokenizer.encode(nasty).ids for nasty in texts], "size": tokenizer.get_vocab_size()},
    )

    # GPT-2's pair of files, a begin-of-text template, and a model that ignores merges.
    (FIXTURES / "gpt2_pair").mkdir(exist_ok=True)
    pair = train("gpt2", text, 320, ["<|endoftext|>"], 0)
    pair.model.save(str(FIXTURES / "gpt2_pair"))
    write("gpt2_pair/expected.json", {"ids": [pair.encode(nasty).ids for nasty in NASTY[:-1]]})

    whole = train("cl100k", text, 340, ["<s>"], 0)
    content = json.loads(whole.to_str())
    content["model"]["ignore_merges"] = True
    content["model"]["vocab"] |= {"Hello": 340, "Ġworld": 341, "don": 342, "Ġdone": 343}
    content["normalizer"] = {"type": "NFC"}
    whole = tokenizers.Tokenizer.from_str(json.dumps(content))
    whole.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]),
        ]
    )
    (FIXTURES / "whole_words").mkdir(exist_ok=True)
    whole.save(str(FIXTURES / "whole_words" / "tokenizer.json"))
    write("whole_words/expected.json", {"ids": [whole.encode(nasty).ids for nasty in NASTY]})


if __name__ == "__main__":
    main()
