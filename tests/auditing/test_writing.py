"""The words that an audit prints are read by a shell and by Hydra as they were meant."""

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser

from dermasense.auditing.writing import write_catalog
from tests.auditing.planted import dots, subject


def test_the_printed_words_survive_the_shell(tmp_path):
    names = ("actinic keratosis", "Bowen's, in situ", "nevus", "null", "7")
    what = subject(tmp_path / "my images", dots(5), list("abcab"), age=[1, 2, 3, 4, 5])
    what.frame["label"] = names
    what.catalog = type(what.catalog)("planted", what.frame, names, ("age",), "none", "")
    path = tmp_path / "my images" / "catalog.csv"
    told = write_catalog(what, path)
    words = shlex.split(told["sentence"].split("Train on it with: ")[1])
    parsed = OverridesParser.create().parse_overrides(words)
    values = {each.key_or_group: each.value() for each in parsed}
    texts = [str(getattr(each, "text", each)) for each in values["data.class_names"]]
    assert texts == list(names) and values["data.class_names"][3] is not None
    assert str(getattr(values["data.file"], "text", values["data.file"])) == str(path)
    assert values["data"] == "csv" and values["data.attributes"] == ["age"]
