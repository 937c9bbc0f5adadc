import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation import RefinedWebLines, Removed
from llm_from_scratch.data.curation.refinedweb import flaw, without_furniture

LONG = " ".join(["The river rose in the night and nobody had seen it come."] * 20)  # 240 words


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("CLICK HERE NOW", "uppercase"),
        ("ABcd", "one word"),  # half is not more than half
        ("ABC de", "uppercase"),
        ("12345", "numbers"),
        ("1,234.50 $", "numbers"),
        ("- - -", ""),
        ("3 likes", "counter"),
        ("• 1.2K Followers", "counter"),
        ("3 likes are enough", ""),
        ("12 reviews!", "counter"),
        ("Menu", "one word"),
        ("夜", "one word"),
        ("夜里河水上涨", ""),
        ("", ""),
        ("He had 3 views", ""),
    ],
)
def test_flaws(line, kind):
    assert flaw(line) == kind


@pytest.mark.parametrize(
    ("line", "shorter"),
    [
        ("Sign in to see what the river did", "to see what the river did"),
        ("sign-in", ""),
        ("It rose in the night... Read More »", "It rose in the night..."),
        ("You have 3 items in cart today", "You have today"),
        ("items items in cart in cart", ""),
        ("He went on to read more of it", "He went on to read more of it"),
        ("Signing in the rain", "Signing in the rain"),
        ("Sign in " + "word " * 9, "Sign in " + "word " * 9),  # 11 words are not short
    ],
)
def test_furniture(line, shorter):
    assert without_furniture(line) == shorter


def test_five_in_a_hundred_words_may_be_flagged():
    assert RefinedWebLines()(f"{LONG}\n" + "MENU AND MORE\n" * 4) == LONG + "\n"  # 12 of 252
    assert isinstance(RefinedWebLines()(f"{LONG}\n" + "MENU AND MORE\n" * 5), Removed)  # 15 of 255


def test_the_words_of_a_shortened_line_count_as_flagged():
    line = "Sign in and so we begin again with it now"
    assert RefinedWebLines()(f"{LONG}\n{line}") == f"{LONG}\nand so we begin again with it now"
    assert RefinedWebLines()(f"{LONG}\n{line}\n{line}").reason.startswith("8% of the words")


@pytest.mark.parametrize("text", ["", "\n\n", " \t", "A line, with nothing wrong.\r\n\r\nAnother one of these.\r\n"])
def test_what_has_no_flaw_is_not_touched(text):
    assert RefinedWebLines()(text) == text


PARTS = [
    "sign in",
    "read more...",
    "items in cart",
    "items",
    "in cart",
    "3",
    "likes",
    "MENU",
    "a b",
    "|",
    "\n",
    " ",
    "»",
]


@given(st.lists(st.sampled_from([*PARTS, "\r", "\u2028", "夜"]), max_size=12).map(" ".join))
def test_once_more_changes_nothing_and_lines_become_no_more(text):
    rule = RefinedWebLines(most_flagged=1)
    once = rule(text)
    assert rule(once) == once
    assert len(once.splitlines()) <= len(text.splitlines()) and once.count("\n") <= text.count("\n")


@pytest.mark.parametrize("text", ["1," * 500_000 + " likes", "sign-in-" * 100_000, "read more " * 100_000, "W" * 10**6,
                                  "1" + " " * 10**6 + "x", "1 " + "b " * 10**5])  # fmt: skip
def test_one_enormous_line_takes_bounded_time(text):
    assert isinstance(RefinedWebLines(most_flagged=1)(text), str)


@pytest.mark.parametrize("settings", [{"most_flagged": 5}, {"short": -1}, {"most_uppercase": float("nan")}])
def test_settings_are_checked_when_made(settings):
    with pytest.raises(ValueError, match="^refinedweb: "):
        RefinedWebLines(**settings)
