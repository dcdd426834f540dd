"""What may vary, as Hydra's grammar says it, and what is drawn of it."""

import math

import pytest

from dermasense.errors import DermaSenseError
from dermasense.sweeping.space import Between, Choice, Steps, read_space


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("a=1,2", Choice(("1", "2"))),
        ("a=choice([3,2],[1,1])", Choice(("[3,2]", "[1,1]"))),
        ("a=choice('x y',b,true)", Choice(("x\\ y", "b", "True"))),
        ("a=range(1,7,2)", Steps((1, 3, 5))),
        ("a=range(0,1,0.5)", Steps((0.0, 0.5))),
        ("a=range(3,0)", None),
        ("a=interval(0,3)", Between(0.0, 3.0)),
        ("a=int(interval(1,8))", Between(1, 8, whole=True)),
        ("a=tag(log,interval(1e-4,1e-2))", Between(1e-4, 1e-2, log=True)),
    ],
)
def test_words_of_hydra(word, option):
    if option is None:
        with pytest.raises(DermaSenseError, match="no value"):
            read_space([word])
    else:
        space = read_space(["seed=3", "~phases.x", word])
        assert space.fixed == ("seed=3", "~phases.x")
        assert space.options == {"a": option}


def test_a_later_word_replaces_an_earlier_one():
    space = read_space(["a=interval(0,1)", "b=1,2", "a=0.5"])
    assert space.fixed == ("a=0.5",) and list(space.options) == ["b"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("a=3", "nothing to search over"),
        ("a=interval(2,1)", "no number lies in it"),
        ("a=tag(log,interval(0,1))", "needs a start > 0"),
        ("a=tag(lin,interval(0,1))", "tag lin is unknown"),
    ],
)
def test_a_space_that_is_none_is_refused(word, sentence):
    with pytest.raises(DermaSenseError, match=sentence):
        read_space([word])


def test_draws_depend_on_seed_and_number_alone_and_stay_inside():
    words = ["a=interval(-1,2)", "b=tag(log,interval(1e-4,1))", "c=int(interval(1,3))", "d=x,y"]
    space = read_space(words)
    drawn = [space.draw(7, number) for number in range(400)]
    assert drawn[11] == read_space(words).draw(7, 11) != space.draw(8, 11)
    assert all(-1 <= float(each["a"]) <= 2 for each in drawn)
    assert {each["c"] for each in drawn} == {"1", "2", "3"}
    assert {each["d"] for each in drawn} == {"x", "y"}
    logs = [math.log10(float(each["b"])) for each in drawn]
    assert min(logs) >= -4 and max(logs) <= 0
    assert sum(log < -2 for log in logs) == pytest.approx(200, abs=40)  # even in the logarithm


def test_a_grid_is_every_combination():
    grid = read_space(["a=1,2", "b=range(0,3)"]).grid()
    assert [tuple(each.values()) for each in grid] == [(a, b) for a in "12" for b in "012"]
    with pytest.raises(DermaSenseError, match=r"b: a grid needs single values"):
        read_space(["a=1,2", "b=interval(0,1)"]).grid()
