import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation import C4, Removed
from llm_from_scratch.data.curation.c4 import sentences

LINE = "The river rose in the night."
PAGE = f"{LINE}\nNobody had seen it come.\nBy morning it was gone."


def test_the_papers_numbers_are_the_defaults():
    assert (C4().least_sentences, C4().least_words) == (3, 5)
    assert C4()(PAGE) == PAGE
    assert isinstance(C4()(PAGE.rsplit("\n", 1)[0]), Removed)
    assert C4(least_sentences=0)("The river rose fast.\n" + LINE) == LINE


@pytest.mark.parametrize(
    ("word", "hit"),
    [("rubbish", True), ("Rubbish!", True), ("RUBBISH", True), ("rubbishy", False), ("schrubbish", False),
     ("rubbish\u0301", False), ("dead  end", True), ("deadend", False), ("rubbish2", True)],
)  # fmt: skip
def test_listed_words_are_found_as_words_wherever_they_stand(word, hit):
    rule = C4(bad_words=("Rubbish", "dead end"))
    for text in (f"{PAGE}\n{word}", f"{word}\n{PAGE}", f"{word} {PAGE}"):
        assert isinstance(rule(text), Removed) == hit
    assert isinstance(C4()(f"{PAGE}\n{word}"), str)  # there is no list but the user's


def test_a_list_may_be_of_phrases_alone():
    assert isinstance(C4(bad_words=("dead end", "so long"))(f"{PAGE}\nA dead\nend."), Removed)
    assert isinstance(C4(bad_words=("dead end",))(PAGE), str)


def test_the_list_may_be_a_file(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("rubbish\n\n dead end \n", encoding="utf-8")
    assert C4(bad_words=str(file)) == C4(bad_words=file) == C4(bad_words=("rubbish", "dead end"))
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no words"):
        C4(bad_words=str(file))
    file.write_bytes(b"\xff\xfe\x00")
    for name in (file, tmp_path / "none.txt", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            C4(bad_words=str(name))


@pytest.mark.parametrize("switch", ["braces", "lorem_ipsum", "javascript", "policies", "citations"])
def test_each_rule_can_be_switched_off(switch):
    text = {
        "braces": f"{PAGE}\nIt was {{here}} that it was seen.",
        "lorem_ipsum": f"{PAGE}\nIt says lorem ipsum dolor sit amet.",
        "javascript": f"{PAGE}\nPlease enable JavaScript to see it.",
        "policies": f"{PAGE}\nRead our privacy policy before going on.",
        "citations": f"{PAGE}\nIt rose by a metre[12] or so.",
    }[switch]
    assert C4()(text) != text and C4(**{switch: False})(text) == text


@pytest.mark.parametrize(
    ("line", "stays"),
    [("The river rose in the...", False), ("The river rose in the night", False), ("It rose then.", False),
     (f"The river {'x' * 1001} in the night.", False), (f"The river {'x' * 1000} in the night.", True)],
)  # fmt: skip
def test_which_lines_stay(line, stays):
    assert C4()(f"{PAGE}\n{line}") == (f"{PAGE}\n{line}" if stays else PAGE)


def test_line_ends_of_other_systems_and_blank_lines():
    assert C4()(PAGE.replace("\n", "\r\n\r\n")) == PAGE


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One. Two! Three?", 3),
        ("No end", 1),
        ('"Why?" she asked. "Because."', 2),
        ("It was 3.5 m.", 1),
        ("", 0),
        ("Wait ... what? No.", 2),
    ],
)
def test_sentences(line, count):
    assert sentences(line) == count


@given(st.lists(st.sampled_from([LINE, "short.", "[1]", "[[1]]", "[1[2]3] a b c d.", "{", "a b c d e\u201d", "x\r", "",
                                 "\u2028a b c d e.", "a b c d e. [edit]", "x" * 1001 + " a b c d."])))  # fmt: skip
def test_once_more_changes_nothing_and_lines_become_no_more(lines):
    text = "\n".join(lines)
    once = C4(least_sentences=1)(text)
    if isinstance(once, str):
        assert C4(least_sentences=1)(once) == once
        assert once.count("\n") <= text.count("\n")


@pytest.mark.parametrize("text", ["", " \n ", "x" * 1_000_000, ". " * 500_000, "[" * 1_000_000, "[1]" * 300_000,
                                  "dead" + " " * 500_000, "dead " * 200_000])  # fmt: skip
def test_texts_without_sentences_are_removed_in_bounded_time(text):
    assert isinstance(C4(bad_words=("dead end",))(text), (str, Removed))
    assert isinstance(C4(least_sentences=0)(text[:5]), Removed)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"least_words": -1}, ValueError), ({"least_sentences": 1.5}, TypeError), ({"longest_word": 0}, ValueError),
     ({"bad_words": ("",)}, TypeError), ({"bad_words": 3}, TypeError), ({"braces": 1}, TypeError)],
)  # fmt: skip
def test_settings_are_checked_when_made(settings, error):
    with pytest.raises(error, match="^c4: "):
        C4(**settings)
    with pytest.raises(TypeError, match="works on a text"):
        C4()(b"text")
