"""The pictures of a sweep: where trials stand on an axis, and which option moved the score."""

import random

import pytest

from dermasense.reporting.importance import importance_bars, importances, why_none
from dermasense.reporting.parallel import axis_of, number_axis, parallel_coordinates
from dermasense.reporting.sweep_page import write_sweep_page


def test_few_values_are_steps_in_order_and_words_are_too():
    axis = axis_of("a", ["10", "2", None, "10"])
    assert axis.ticks == ((0.25, "2"), (0.75, "10")) and axis.places == (0.75, 0.25, None, 0.75)
    assert [words for _, words in axis_of("b", ["x", "none", "x"]).ticks] == ["x", "none"]


def test_an_axis_is_logarithmic_where_its_trials_are():
    draw = random.Random(0)
    rates = [10 ** draw.uniform(-4, -2) for _ in range(40)]
    assert axis_of("lr", list(map(repr, rates))).logarithmic
    assert not axis_of("gamma", [repr(draw.uniform(0.01, 3)) for _ in range(40)]).logarithmic
    assert not number_axis("score", [0.5, 0.6, 0.61, 0.9]).logarithmic


def test_less_is_better_stands_on_top():
    assert number_axis("ece", [0.1, 0.3, 0.2], up=False).places == pytest.approx((1, 0, 0.5))


def test_a_line_a_trial_and_the_best_one_last():
    axes = [axis_of("a", ["1", "2", "3"])]
    svg = parallel_coordinates(axes, number_axis("top1", [0.9, 0.5, 0.7]), best=0)
    lines = [part for part in svg.split("<") if part.startswith("polyline")]
    assert len(lines) == 3 and 'stroke-width="3"' in lines[-1]
    assert "3 finished trials" in svg and "0.900" in svg


def test_the_option_that_moves_the_score_is_the_important_one():
    pytest.importorskip("optuna")
    draw = random.Random(0)
    rates, words = [draw.random() for _ in range(30)], [draw.choice("xyz") for _ in range(30)]
    axes = [axis_of("lr", list(map(repr, rates))), axis_of("balance", words)]
    scores = [rate**2 + 0.01 * (word == "x") for rate, word in zip(rates, words, strict=True)]
    shares = importances(axes, scores)
    assert next(iter(shares)) == "lr" and shares["lr"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert "over 30 finished trials" in importance_bars(shares, "top1", 30)


def test_no_picture_where_it_would_say_nothing():
    scores = [n / 10 for n in range(10)]
    assert "One option varies" in why_none(1, scores)
    assert "from 10 finished trials on; there are 9" in why_none(2, scores[:9])
    assert why_none(2, scores) == ""


@pytest.mark.parametrize("scores", [[1.0] * 10, [0.0] * 10, [0.3, 0.1 + 0.2] * 5])
def test_trials_that_score_alike_have_a_page_without_importance(scores, tmp_path):
    assert "score alike" in why_none(2, scores)
    rows = [
        {"trial": n, "status": "finished", "best_score": score, "reason": "",
         "overrides": {"a": str(n % 2), "b": str(n % 5)}}
        for n, score in enumerate(scores)
    ]  # fmt: skip
    how = [("best_score", "top1", False)]
    page = write_sweep_page(tmp_path / "s.html", rows, ["a", "b"], how, command="", notes=[])
    assert "All finished trials score alike" in page.read_text()


def test_a_forest_without_variance_costs_no_page(tmp_path, monkeypatch):
    def none(*_):
        raise RuntimeError("Encountered zero total variance in all trees.")

    monkeypatch.setattr("dermasense.reporting.sweep_page.importances", none)
    rows = [
        {"trial": n, "status": "finished", "best_score": n / 10, "reason": "",
         "overrides": {"a": str(n % 2), "b": str(n % 5)}}
        for n in range(10)
    ]  # fmt: skip
    how = [("best_score", "top1", False)]
    page = write_sweep_page(tmp_path / "s.html", rows, ["a", "b"], how, command="", notes=[])
    assert "Importance" in page.read_text()
