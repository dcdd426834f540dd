import subprocess
import sys

import numpy as np
import pytest
from matplotlib.text import Text

from dermasense.reporting.figures import (
    class_figure,
    confusion_figure,
    contact_sheet,
    reliability_figure,
)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_confusion_shows_counts_n_and_row_shares():
    figure = confusion_figure([[3, 1], [0, 0]], ["nv", "mel"], title="test (leaky)")
    axes = figure.axes[0]
    assert texts(axes) == ["3", "1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nv (4)", "mel (0)"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert axes.get_title() == "test (leaky)"


def test_contact_sheet_shows_each_image_unchanged_and_leaves_empty_places_blank():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    figure = contact_sheet(images, titles=["a", "b"], columns=3)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(figure.axes) == 6
    assert len(shown) == 5
    np.testing.assert_array_equal(shown[4], images[4])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["a", "b", ""]


def test_reliability_draws_accuracy_against_mean_confidence_per_bin():
    figure = reliability_figure(np.array([0.62, 0.64, 0.95]), np.array([True, False, True]), bins=5)
    upper, lower = figure.axes
    x, y = upper.lines[1].get_data()
    np.testing.assert_allclose(x, [0.63, 0.95])
    np.testing.assert_allclose(y, [0.5, 1.0])
    assert [bar.get_height() for bar in lower.patches] == [0, 0, 0, 2, 1]


def test_class_bars_leave_out_what_is_not_defined():
    figure = class_figure(
        {
            "nv": {"precision": 0.9, "recall": 0.8, "f1": 0.85, "n": 20},
            "df": {"precision": None, "recall": 0.0, "f1": 0.0, "n": 2},
        }
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["df (n=2)", "nv (n=20)"]
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}
    np.testing.assert_array_equal(widths["precision"], [np.nan, 0.9])
    assert widths["recall"] == [0.0, 0.8]


@pytest.mark.parametrize("classes", [2, 21])
def test_figures_can_be_drawn_for_few_and_many_classes(classes, tmp_path):
    names = [f"condition {c}" for c in range(classes)]
    figure = confusion_figure(np.eye(classes, dtype=int), names)
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_dollars_in_class_names_are_dollars(tmp_path):
    names = ["$x_{$", "$a$"]
    row = {"precision": 0.9, "recall": 0.8, "f1": 0.85, "n": 20}
    figures = [
        confusion_figure(np.eye(2, dtype=int), names),
        class_figure({name: row for name in names}),
        contact_sheet(np.zeros((2, 8, 8, 3), np.uint8), names),
    ]
    for number, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{number}.png")  # as text that is no formula
        shown = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text)}
        assert {shown[words] for words in shown if "$" in words} == {False}


def test_matplotlib_is_not_imported_before_a_figure_is_asked_for():
    code = "import sys, dermasense.reporting.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
