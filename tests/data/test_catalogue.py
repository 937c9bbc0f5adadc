"""The catalogue names every data set of the year, and says of each what it knows."""

import pytest

from llm_from_scratch.data.catalogue import KINDS, data_sets, find_data_set

NAMED = {
    "pretraining": "The Pile, WuDao, C4, CommonCrawl, The Stack, S2ORC, RefinedWeb, Gutenberg, Reddit, StackOverflow, "
    "GitHub, arXiv, Wikipedia, books, news, ROOTS, Galactica",
    "preferences": "WebGPT, HH-RLHF, Summarize from feedback",
    "instructions": "FLAN 1, FLAN 2, Natural Instructions, Super-Natural Instructions, Self-Instruct, "
    "Unnatural Instructions, HC3, Alpaca, OIG, Guanaco, Dolly 15k, GPT4-LLM, Orca, Airoboros, OpenOrca, OpenHermes, "
    "Orca-2, MetaMath, MathInstruct, Evol-Instruct, CodeAlpaca, CodeCapybara",
    "dialogues": "ShareGPT, UltraChat, Camel-AI, LMSYS-Chat-1M",
    "ratings": "UltraFeedback, HelpSteer",
    "rankings": "Nectar",
}


@pytest.mark.parametrize("kind", NAMED)
def test_every_data_set_that_the_review_names_is_there(kind):
    names = [each.name for each in data_sets(kind)]
    for wanted in NAMED[kind].split(", "):
        assert any(wanted.lower() in name.lower() for name in names), wanted


def test_every_row_is_complete_and_says_what_it_does_not_know():
    sets = data_sets()
    assert len({each.name for each in sets}) == len(sets) >= 49 and set(KINDS) == {each.kind for each in sets}
    fields = ("name", "kind", "date", "origin", "size", "schema", "licence", "trained", "source")
    for each in sets:
        for field in fields:
            assert getattr(each, field).strip() == getattr(each, field) != ""
            assert each.told(field).endswith(" (?)") == (field in each.doubtful)
        assert set(each.doubtful) <= set(fields)
        assert each.source.startswith("arXiv:") or "." in each.source or "20" in each.source
    for name, year in (("Camel", "2023-03 (May in"), ("LMSYS", "2023-09 (October in"), ("Nectar", "2023-11 (December")):
        assert find_data_set(name).date.startswith(year)  # where the review and the release differ, both are given


def test_names_and_kinds():
    assert find_data_set("orca").name == "Orca" and find_data_set("the pile").kind == "pretraining"
    with pytest.raises(ValueError, match="there is no data set 'Pyle': expected one of The Pile"):
        find_data_set("Pyle")
    with pytest.raises(ValueError, match="there is no kind 'web': expected one of pretraining"):
        data_sets("web")
