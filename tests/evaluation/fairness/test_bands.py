"""Values to groups; what is not known is no group."""

import numpy as np
import pandas as pd
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.fairness.bands import (
    attribute_codes,
    banded,
    banded_attributes,
    banding,
    codes,
    skin_types,
)


def test_skin_types_in_pairs_and_one_by_one():
    column = pd.Series([1, 2, 3, 4, 5, 6, -1, np.nan])
    words = ["I-II", "I-II", "III-IV", "III-IV", "V-VI", "V-VI", None, None]
    assert banded("skin_type", column).tolist() == words
    assert skin_types(column).tolist() == ["I", "II", "III", "IV", "V", "VI", None, None]
    assert banded("fitzpatrick_scale", column.astype(str)).tolist() == words


def test_ages_by_twenties_and_words_as_they_are():
    ages = banded("age", pd.Series([*range(0, 60, 5), np.nan, -1]))
    assert ages[0] == "0 to 19" and ages[11] == "40 to 59" and ages[12] is ages[13] is None
    sexes = banded("sex", pd.Series(["male", "unknown", None, "female", ""]))
    assert sexes.tolist() == ["male", None, None, "female", None]
    assert banded("ruler", pd.Series([True, False])).tolist() == ["yes", "no"]
    assert banded("grade", pd.Series([1.0, 2.0, np.nan])).tolist() == ["1", "2", None]


@pytest.mark.parametrize(
    ("name", "values", "how"),
    [
        ("skin_type", [1.0, 4.0, 6.0, -1.0], "tones"),
        ("age", [*map(float, range(20, 80, 5)), np.nan], "twenties"),
        ("grade", [1.0, 2.0, 3.0], "numbers"),
        ("ruler", [True, False], "yes or no"),
        ("sex", ["male", None, "female"], "words"),
    ],
)
def test_a_banding_gives_each_row_its_group_alone(name, values, how):
    column = pd.Series(values)
    assert banding(name, column) == how
    whole = banded(name, column)
    alone = [banded(name, column[[i]], how).iloc[0] for i in column.index]
    assert alone == whole.tolist()
    assert banded(name, column.astype(object), how).tolist() == whole.tolist()


def test_ids_places_parts_and_logits_are_no_attributes():
    others = ("image_id", "path", "label", "group", "origin", "split", "fold", "logit_mel")
    frame = pd.DataFrame({name: ["a", "b"] for name in others}).assign(age=[40.0, np.nan], sex="f")
    found = {name: words.tolist() for name, words in banded_attributes(frame)}
    assert found == {"age": ["40", None], "sex": ["f", "f"]}


def test_an_unknown_banding_is_a_sentence():
    with pytest.raises(DermaSenseError, match="No banding twentys of age; did you mean"):
        banded("age", pd.Series([40.0]), "twentys")


def test_an_empty_column_has_no_groups():
    assert banded("sex", pd.Series([None, None])).isna().all()
    found, names = codes("skin_type", pd.Series([np.nan, 5.0, 1.0]))
    assert found.tolist() == [-1, 1, 0] and names == ("I-II", "V-VI")


def test_a_typo_is_a_sentence():
    with pytest.raises(DermaSenseError, match=r"x: the data has no attribute 'sexx'.*sex"):
        attribute_codes(pd.DataFrame({"sex": ["f", "m"]}), "sexx", "x")


def test_only_attributes_are_offered():
    others = ("image_id", "path", "label", "group", "origin", "split", "fold", "logit_mel")
    frame = pd.DataFrame({name: ["a", "b"] for name in others})
    with pytest.raises(DermaSenseError, match=r"x: the data has no attributes; name them when"):
        attribute_codes(frame, "label", "x")
    with pytest.raises(DermaSenseError, match=r"no attribute 'path'; valid: age, sex$"):
        attribute_codes(frame.assign(sex="f", age=40), "path", "x")
