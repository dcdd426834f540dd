"""The pictures of a sweep: where trials stand on an axis, and which option moved the score."""

import random

import pytest

from dermasense.reporting.importance import importance_bars, importances, why_none
from dermasense.reporting.parallel import axis_of, number_axis, parallel_coordinates


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
    assert "One option varies" in why_none(1, 50)
    assert "from 10 finished trials on; there are 9" in why_none(2, 9)
    assert why_none(2, 10) == ""
