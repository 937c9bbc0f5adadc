"""What was made of the base models in 2023: who tuned which weights, on what, and how.

Facts only, each row with where it can be looked up. `unverified` names the entries of a row that rest on accounts of
others, because no paper, model card or code of the authors could be seen for them; the map marks these with "?".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assistant:
    """One dialogue model of the year.

    base: the release whose weights it began with. month: when it appeared, "2023-07"; named: under which month
    Clémentine Fourrier's review of 2023 has it, where that is another one. unverified: names of entries above.
    """

    base: str
    month: str
    who: str
    sizes: str
    data: str
    technique: str
    source: str
    named: str | None = None
    unverified: tuple[str, ...] = ()

    def words(self, entry: str) -> str:
        """One entry as the map prints it, with its mark."""
        text = getattr(self, entry)
        if entry == "month" and self.named is not None:
            text += f" (review: {self.named})"
        return text + " ?" * (entry in self.unverified)


ASSISTANTS: dict[str, Assistant] = {
    "Alpaca": Assistant(
        "LLaMA", "2023-03", "Stanford", "7B", "52k instructions that text-davinci-003 grew from 175 by self-instruct",
        "SFT, loss on the response alone", "github.com/tatsu-lab/stanford_alpaca",
    ),
    "Vicuna": Assistant(
        "LLaMA", "2023-03", "LMSYS", "7B, 13B", "some 70k ShareGPT conversations",
        "SFT, loss on every answer of the assistant", "github.com/lm-sys/FastChat",
    ),
    "Guanaco (multilingual)": Assistant(
        "LLaMA", "2023-03", "JosephusCheung", "7B", "Alpaca's 52k and 534k more in English, Chinese, Japanese, German",
        "SFT", "the model's card", unverified=("month",),
    ),
    "Koala": Assistant(
        "LLaMA", "2023-04", "Berkeley", "13B", "ShareGPT, HC3, Alpaca, OIG, HH-RLHF, WebGPT, summaries",
        "SFT, the prompt asks for a helpful or an unhelpful answer", "bair.berkeley.edu/blog/2023/04/03/koala",
    ),
    "Dolly 2.0": Assistant(
        "Pythia", "2023-04", "Databricks", "3B, 7B, 12B", "15k instructions written by employees",
        "SFT, loss on the response alone", "github.com/databrickslabs/dolly",
    ),
    "Guanaco (QLoRA)": Assistant(
        "LLaMA", "2023-05", "University of Washington", "7B to 65B", "9,209 conversations of OASST1, best replies",
        "LoRA on all linear layers over an NF4 base, loss on whole conversations", "arXiv:2305.14314",
    ),
    "UltraLLaMA": Assistant(
        "LLaMA", "2023-05", "Tsinghua", "13B", "UltraChat: 1.5M dialogues of two models", "SFT, loss on every answer",
        "arXiv:2305.14233",
    ),
    "Orca": Assistant(
        "LLaMA", "2023-06", "Microsoft", "13B", "explanations under 16 system messages: 5M of ChatGPT, 1M of GPT-4",
        "SFT in two stages, loss on the teacher's tokens", "arXiv:2306.02707",
    ),
    "UltraLM": Assistant(
        "LLaMA", "2023-06", "OpenBMB", "13B, 65B", "UltraChat", "SFT, loss on every answer",
        "the model's card and commits", named="2023-08", unverified=("sizes",),
    ),
    "Nous-Hermes": Assistant(
        "LLaMA", "2023-06", "Nous Research", "13B", "300k instructions, nearly all by GPT-4", "SFT in Alpaca's format",
        "the model's card", named="summer", unverified=("month",),
    ),
    "LLaMA 2-Chat": Assistant(
        "LLaMA 2", "2023-07", "Meta", "7B to 70B", "27,540 written answers, over 1M comparisons",
        "SFT, two reward models, rejection sampling, PPO, Ghost Attention", "arXiv:2307.09288",
    ),
    "SteerLM": Assistant(
        "LLaMA 2", "2023-09", "NVIDIA", "13B, 70B", "OASST1, HH-RLHF, then HelpSteer (2023-11)",
        "attributes predicted, then SFT conditioned on them", "arXiv:2310.05344, 2311.09528", named="2023-11",
    ),
    "OpenChat": Assistant(
        "LLaMA 2", "2023-09", "Tsinghua", "13B", "some 70k ShareGPT conversations, 6k of them of GPT-4",
        "C-RLFT: conditioned on the source, weighted by it", "arXiv:2309.11235",
    ),
    "Nous-Capybara": Assistant(
        "LLaMA 2", "2023-09", "Nous Research", "7B", "20k multi-turn conversations grown by Amplify-Instruct", "SFT",
        "the model's card", named="summer", unverified=("month",),
    ),
    "OpenHermes 2": Assistant(
        "Mistral", "2023-10", "Teknium", "7B", "900k entries, mainly of GPT-4", "SFT in ChatML", "the model's card",
    ),
    "Zephyr": Assistant(
        "Mistral", "2023-10", "Hugging Face", "7B", "UltraChat, then UltraFeedback: four answers rated by GPT-4",
        "SFT, then DPO (β 0.1) of the best against one of the others", "arXiv:2310.16944",
    ),
    "OpenHermes 2.5": Assistant(
        "Mistral", "2023-11", "Teknium", "7B", "1M entries, with code", "SFT in ChatML", "the model's card",
    ),
    "OpenBuddy-Zephyr": Assistant(
        "Zephyr", "2023-11", "OpenBuddy", "7B", "multi-turn dialogues in eight languages", "further SFT",
        "the model's card", unverified=("data", "technique"),
    ),
    "OpenChat 3.5": Assistant(
        "Mistral", "2023-11", "OpenChat", "7B", "conversations of several sources", "C-RLFT", "the model's card",
        unverified=("data",),
    ),
    "Orca 2": Assistant(
        "LLaMA 2", "2023-11", "Microsoft", "7B, 13B", "817k answers of a teacher that is told a strategy for the task",
        "SFT after Orca's data, the strategy erased from the prompt", "arXiv:2311.11045",
    ),
    "Starling": Assistant(
        "OpenChat 3.5", "2023-11", "Berkeley", "7B", "Nectar: 183k prompts, 7 answers each, ranked by GPT-4",
        "K-wise reward model, then APA", "the model's card", named="2023-12",
    ),
}  # fmt: skip
