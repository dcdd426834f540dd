"""Attributes beside the image: what they add, nothing where they are missing, no leak."""

import re

import numpy as np
import pandas as pd
import pytest

from dermasense import metadata_head
from dermasense.errors import DermaSenseError
from dermasense.evaluation.metadata_head import KNOTS, Encoding, MetadataHead, _solve
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from tests.reporting.run_on_disk import run_folder, table

NAMES = ("a", "b", "c")


def planted(n=600, seed=0):
    """`site` tells the class in 7 of 10 rows, `sex` tells nothing, the logits something."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    site = np.where(rng.random(n) < 0.7, y, rng.integers(3, size=n))
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "group": [f"g{k // 2}" for k in range(n)],
            "label": [NAMES[k] for k in y],
            "site": [f"s{k}" for k in site],
            "sex": np.where(rng.random(n) < 0.5, "male", "female"),
            "age": rng.integers(20, 80, n).astype(float),
        }
    )
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), y] += 1.0
    return Predictions(frame, logits, NAMES)


def nll(each):
    return summarise(each, split_protocol="x")["nll"]


def test_an_attribute_that_tells_the_class_is_used_on_other_rows():
    fit, judged = planted(), planted(seed=1)
    alone = MetadataHead.fit(fit, ()).apply(judged)
    told = MetadataHead.fit(fit, ("site",)).apply(judged)
    useless = MetadataHead.fit(fit, ("sex",)).apply(judged)
    assert nll(told) < nll(alone) - 0.2
    assert abs(nll(useless) - nll(alone)) < 0.02


def test_what_is_missing_or_not_known_adds_nothing():
    fit, judged = planted(), planted(seed=1)
    head = MetadataHead.fit(fit, ("site", "age"), penalties=(3.0,))
    bare = Predictions(
        judged.frame.assign(site=None, age=np.nan), judged.logits, judged.class_names
    )
    strange = Predictions(
        judged.frame.assign(site="elsewhere", age=np.nan), judged.logits, judged.class_names
    )
    np.testing.assert_allclose(head.apply(bare).logits, head.apply(strange).logits)
    assert not head.encoding.encode(bare.frame).any()


def test_numbers_lie_between_knots_and_words_are_one_column_each():
    frame = planted().frame.assign(age=np.resize([KNOTS[0], 20.0, 90.0, np.nan], 600))
    x = Encoding.of(frame, ("age",)).encode(frame)
    np.testing.assert_allclose(x[:4], [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    encoding = Encoding.of(frame, ("sex", "site"))
    assert encoding.columns == ["sex female", "sex male", "site s0", "site s1", "site s2"]
    assert (encoding.encode(frame).sum(axis=1) == 2).all()


def test_a_number_that_is_no_age_has_knots_of_its_own_rows():
    fit, judged = planted(), planted(seed=1)
    for each in (fit, judged):
        each.frame["skin_type"] = 1.0 + 2 * each.frame["site"].str[1].astype(float)  # 1, 3 or 5
        each.frame.loc[:9, "skin_type"] = np.nan
    encoding = Encoding.of(fit.frame, ("age", "skin_type"))
    assert encoding.columns == [
        "age 10", "age 30", "age 50", "age 70", "skin_type 1", "skin_type 3", "skin_type 5"
    ]  # fmt: skip
    assert not encoding.encode(fit.frame)[:10, 4:].any()
    told = MetadataHead.fit(fit, ("skin_type",))
    assert nll(told.apply(judged)) < nll(MetadataHead.fit(fit, ()).apply(judged)) - 0.2
    assert list(told.as_dict()["weights"]) == encoding.columns[4:]


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ([0] * 99 + [1], ["x 0", "x 1"]),
        ([2] * 100, ["x 2"]),
        ([True, False] * 50, ["x False", "x True"]),
        (pd.array(["a", None] * 50, dtype="string"), ["x a"]),
        (pd.array([True, None] * 50, dtype="boolean"), ["x True"]),
    ],
)
def test_few_values_and_none_can_be_encoded(values, columns):
    frame = planted(100).frame.assign(x=values)
    encoding = Encoding.of(frame, ("x",))
    assert encoding.columns == columns and encoding.encode(frame).shape == (100, len(columns))
    assert encoding.encode(frame).any()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan] * 100, "no validation image has a value, so nothing of it"),
        (
            [f"{n},0" for n in range(100)],
            r"a text, and none of its values stands on 5 .*\(0,0, 1,0, ",
        ),
    ],
)
def test_an_attribute_of_which_nothing_is_left_is_told_and_adds_nothing(values, words):
    frame = planted(100).frame.assign(x=values)
    encoding = Encoding.of(frame, ("x",))
    assert re.match(f"x: {words}", encoding.told(frame)[0]) and encoding.lacks("x")
    assert encoding.encode(frame).shape == (100, 0)


def test_it_is_told_what_an_attribute_was_taken_as():
    frame = planted(100).frame
    frame.loc[:2, "site"] = "s9"
    assert Encoding.of(frame, ("age", "site")).told(frame) == [
        "age: a number, by knots at 10, 30, 50, 70",
        "site: a text, by levels s0, s1, s2 (left out, on fewer than 5 images: s9)",
    ]


def test_the_fit_is_the_optimum_and_sees_no_judged_label():
    fit, judged = planted(), planted(seed=1)
    x = Encoding.of(fit.frame, ("site",)).encode(fit.frame)
    logp = fit.logits - np.log(np.exp(fit.logits).sum(1, keepdims=True))

    def loss(a, b, w, penalty=3.0):
        z = a * logp + b + x @ w
        z = z - np.log(np.exp(z).sum(1, keepdims=True))
        rows = np.arange(len(z))
        return -z[rows, fit.labels].sum() + penalty / 2 * (w**2).sum() + (b**2).sum() / 2

    a, b, w = _solve(logp, x, fit.labels, 3.0)
    best, rng = loss(a, b, w), np.random.default_rng(0)
    for _ in range(50):
        step = 0.05
        moved = loss(
            a + step * rng.normal(),
            b + step * rng.normal(size=3),
            w + step * rng.normal(size=w.shape),
        )
        assert moved > best
    head = MetadataHead.fit(fit, ("site",), penalties=(3.0,))
    mixed = judged.frame.assign(
        label=judged.frame["label"].sample(frac=1, random_state=0).to_numpy()
    )
    np.testing.assert_array_equal(
        head.apply(judged).logits, head.apply(Predictions(mixed, judged.logits, NAMES)).logits
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("dx_type", "is a leak"), ("DX_TYPE", "is a leak"), ("sit", "did you mean 'site'")],
)
def test_a_leak_and_a_typo_are_refused(name, words):
    frame = planted().frame.assign(dx_type="histo")
    with pytest.raises(DermaSenseError, match=words):
        Encoding.of(frame, (name,))


def test_the_command_compares_on_the_same_images(run_command, tmp_path, monkeypatch):
    run = run_folder(tmp_path / "run", predictions=table(seed=4))
    code, out, err = run_command(
        metadata_head, f"run={run.path}", "attributes=sex", "resamples=100"
    )
    assert code == 0, err
    assert "image_and_metadata minus image_alone" in out
    assert "sex: a text, by levels" in out
    assert (run.path / "metadata_head" / "report.html").is_file()
    code, _, err = run_command(metadata_head, f"run={run.path}", "attributes=dx_type")
    assert code == 2 and "is a leak" in err
    code, _, err = run_command(metadata_head, f"run={tmp_path}")
    assert code == 2 and "no finished run" in err
    monkeypatch.setattr("dermasense.evaluation.metadata_head.LEAST", 10**6)
    code, _, err = run_command(
        metadata_head, f"run={run.path}", "attributes=sex", f"out={tmp_path / 'o'}"
    )
    assert code == 2 and "attributes=sex: nothing is left of it" in err
