"""The helpers that chapters print and draw with."""

from xml.etree import ElementTree

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from llm_from_scratch import book
from llm_from_scratch.autograd import arithmetic as ops
from llm_from_scratch.book.speed import readable
from llm_from_scratch.kernels import softmax


@pytest.fixture(autouse=True)
def no_figures_left(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def test_show_source_prints_a_primitive_with_its_backward(capsys):
    book.show_source(ops.multiply)
    shown = capsys.readouterr().out
    assert "return a * b, (a, b)" in shown and "@multiply.backward" in shown
    assert "entry by entry" not in shown
    book.show_source(ops.multiply, docstring=True, backward=False)
    shown = capsys.readouterr().out
    assert "entry by entry" in shown and "backward" not in shown


def test_show_source_prints_a_kernels_twin(capsys):
    book.show_source(softmax.softmax)
    assert "e.sum(-1, keepdims=True)" in capsys.readouterr().out


def test_close_compares_complex_numbers_whole():
    book.close(np.array([1.0 + 2.0j]), [1.0 + 2.0j])
    with pytest.raises(AssertionError, match="not equal"):
        book.close(np.array([1.0 + 2.0j]), np.array([1.0 + 3.0j]))


def test_close_proves_and_refuses(capsys):
    book.close(np.ones(3, np.float32), np.ones(3), label="ones")
    assert capsys.readouterr().out == "ones: equal, largest difference 0.0e+00\n"
    book.close([1.0, 2.0 + 1e-13], [1.0, 2.0])
    assert "largest difference 1." in capsys.readouterr().out
    for rounded in (1.0, np.float32(1.0 + 3e-6)):  # whatever this processor's rounding makes of it
        book.close([rounded], [1.0], tolerance=1e-5)
        assert capsys.readouterr().out == "equal to within 1e-05\n"
    for ours, theirs in (([1.0], [1.1]), ([np.nan], [1.0]), ([[1.0]], [1.0])):
        with pytest.raises(AssertionError, match="not equal"):
            book.close(ours, theirs)


def test_caught_prints_what_was_raised_and_insists_on_it(capsys):
    with book.caught(ValueError):
        raise ValueError("too long")
    assert capsys.readouterr().out == "caught: ValueError: too long\n"
    with pytest.raises(AssertionError, match="nothing was raised"), book.caught(ValueError):
        pass
    with pytest.raises(TypeError), book.caught(ValueError):
        raise TypeError("another one")


def test_table_aligns_words_left_and_whole_numbers_right(capsys):
    book.table([("a", 12345, True), ("long", 7, False)], ["name", "n", "flag"])
    assert capsys.readouterr().out == "name       n  flag\na     12,345  True\nlong       7  False\n"


def test_compare_speed_measures_and_names_the_threads(capsys):
    medians = book.compare_speed({"short": lambda: sum(range(10)), "long": lambda: sum(range(3000))}, seconds=0.05)
    assert medians["long"] > medians["short"] > 0
    shown = capsys.readouterr().out
    assert "middle half" in shown and "threads: Python 1" in shown
    assert [bar.get_width() for bar in plt.gca().patches] == pytest.approx([1e3 * m for m in medians.values()])


@pytest.mark.parametrize(("seconds", "words"), [(2.0, "2 s"), (0.5, "500 ms"), (1e-5, "10 µs")])
def test_durations_read_well(seconds, words):
    assert readable(seconds) == words


def test_where_it_sits_lights_the_named_pieces():
    book.where_it_sits("norm")
    lit = [p for p in plt.gca().patches if p.get_facecolor() == matplotlib.colors.to_rgba(book.COLOURS["orange"])]
    assert len(lit) == 3  # two in the block, one after the last
    with pytest.raises(ValueError, match="knows"):
        book.where_it_sits("engine")


def test_draw_graph_gives_an_input_used_twice_two_arrows():
    figure, axes = plt.subplots()
    book.draw_graph({"a": [], "b": ["a", "a"], "c": ["b", "a"]}, axes=axes)
    arrows = [patch for patch in axes.patches if isinstance(patch, matplotlib.patches.FancyArrowPatch)]
    assert len(arrows) == 4
    with pytest.raises(ValueError, match="circle"):
        book.draw_graph({"a": ["b"], "b": ["a"]})


def test_draw_mask_lights_what_is_trained_and_moves_it_by_one():
    book.draw_mask(["<u>", "why", "<a>", "so", "<e>", "<u>"], np.array([0, 0, 0, 1, 1, 0], bool))
    axes = plt.gca()
    arrows = [patch for patch in axes.patches if isinstance(patch, matplotlib.patches.FancyArrowPatch)]
    assert len(arrows) == 2  # from "<a>" to "so", from "so" to "<e>"
    written = [text.get_text() for text in axes.texts]
    assert written.count("so") == written.count("<e>") == 2 and written.count("<u>") == 2 and written.count("–") == 4


def test_draw_segments_has_a_box_for_each_conversation():
    book.draw_segments([np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, -1, -1, -1, -1])])
    assert [text.get_text() for text in plt.gca().texts] == ["3", "2", "2"]


def test_the_style_is_applied():
    with matplotlib.rc_context():
        book.use_style()
        assert matplotlib.rcParams["axes.spines.top"] is False
        colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    assert colours[:2] == [book.COLOURS["blue"], book.COLOURS["orange"]]


def test_a_picture_as_svg_has_words_and_is_the_same_every_time():
    def drawn(words):
        figure, axes = plt.subplots()
        axes.plot([0, 1], [1, 0])
        return book.vector.as_svg(figure, words)

    one = drawn('keys "shared" & values <one>')
    assert one == drawn('keys "shared" & values <one>')
    root = ElementTree.fromstring(one)
    assert root.get("aria-label") == 'keys "shared" & values <one>' and root.get("role") == "img"
    assert "date" not in one.lower()
    for words in ("", "  "):
        with pytest.raises(ValueError, match="description"):
            drawn(words)


def test_who_is_heard_grows_by_the_window_less_one_in_each_layer():
    for windows in ([3], [3, 3], [1, 1, 1], [5, 2, 4], [9, 9]):
        reach = book.hearing.heard(windows, 12)
        assert reach.shape == (len(windows) + 1, 12)
        assert reach[0].sum() == min(12, 1 + sum(w - 1 for w in windows))
        assert reach[0, -1] and (np.diff(reach.astype(int), axis=1) >= 0).all()
    assert book.hearing.heard([2, None, 2], 12)[0].all()
    assert (book.hearing.heard([None, 2], 12).sum(axis=1) == [12, 2, 1]).all()


def test_pictures_of_attention_say_what_they_show(monkeypatch):
    told = []
    monkeypatch.setattr(book.hearing, "show_svg", lambda figure, words: told.append(words))
    book.draw_sharing(6, {"own": 6, "two": 2, "one": 1})
    book.draw_reach({"all": [None, None], "narrow": [3, 3]}, tokens=8)
    assert "two: 2 key-value heads, each read by 3" in told[0]
    assert "all: the last token hears 8 of 8 through 2 layers; narrow: the last token hears 5 of 8" in told[1]
    for count in (0, 4, 7):
        with pytest.raises(ValueError, match="cannot share"):
            book.draw_sharing(6, {"odd": count})
