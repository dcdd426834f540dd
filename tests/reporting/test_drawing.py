"""Small plots: places are right, words do not collide."""

import re

import numpy as np

from dermasense.evaluation.curves import curve
from dermasense.reporting.drawing import Plot, thinned


def test_a_line_runs_from_corner_to_corner_and_passes_over_gaps():
    plot = Plot("a line", size=(340, 290))
    plot.line([0, 0.5, 1], [0, None, 1])
    points = re.search(r'polyline points="([^"]*)"', plot.svg())[1]
    assert points == "54.0,250.0 328.0,10.0"


def test_words_of_neighbouring_lines_stand_below_each_other_and_inside():
    plot = Plot("phases", size=(440, 310), x=(0.5, 11.5))
    names = ["frozen", "unfreeze_15", "unfreeze_25", "unfreeze_35"]
    plot.uprights(list(zip([0.5, 8.5, 9.5, 10.5], names, strict=True)))
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>(\w+)</text>', plot.svg())
    words = [(float(x), float(y), name) for x, y, name in found if name in names]
    assert [name for *_, name in words] == names
    for i, (x, y, name) in enumerate(words):
        assert x + 6 * len(name) <= 440
        for left, top, other in words[:i]:
            assert top != y or left + 6 * len(other) < x


def test_alt_text_is_escaped_and_a_long_line_is_thinned():
    assert "<title>a &lt; b</title>" in Plot("a < b").svg()
    xs, _ = thinned(np.arange(5000), np.arange(5000))
    assert len(xs) <= 120 and xs[0] == 0 and xs[-1] == 4999


def test_a_curve_of_a_rare_class_is_thinned_by_its_length_and_not_by_its_points():
    positive = np.zeros(10_000, bool)
    positive[:20], positive[[40, 300, 5000]] = True, True  # most of the recall in few images
    found = curve(np.linspace(1, 0, 10_000), positive)
    recall, precision = thinned(found.recall, found.precision)
    assert len(recall) <= 120
    away = np.abs(found.recall[:, None] - recall) + np.abs(found.precision[:, None] - precision)
    assert away.min(axis=1).max() < 0.03  # each true point has a drawn one beside it
    assert (recall[0], precision[0]) == (found.recall[0], found.precision[0])
    assert (recall[-1], precision[-1]) == (found.recall[-1], found.precision[-1])
