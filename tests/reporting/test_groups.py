"""The report's part on groups: what differs is called so, and nothing else."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.predictions import Predictions
from dermasense.reporting.parts.groups import groups
from tests.evaluation.fairness.people import people


def part_of(table: Predictions):
    found = by_attribute(table, resamples=200)
    return groups(SimpleNamespace(metrics={"by_attribute": found}, groups_are="lesion"))


def text_of(table: Predictions) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part_of(table).body))


def test_a_difference_is_named_and_chance_is_not():
    said = text_of(people(3, (300, 300, 200), wrong=(0.0, 0.0, 0.5)))
    assert re.search(r"0\.\d+ to 0\.\d+ n \d+ ", said)  # the malignant have an n of their own
    assert "widest between c and" in said and "chance alone gives about" in said
    assert "Different: c and a; c and b." in said
    alike = text_of(people(0, (100, 80)))
    assert alike.count("No pair differs.") == 4 and "Different" not in alike


def test_both_sources_of_skin_types_and_their_agreement():
    table = people(1, (90, 90))
    types = np.random.default_rng(0).integers(1, 7, len(table)).astype(float)
    frame = table.frame.assign(skin_type=types, skin_type_centaur=np.clip(types + 1, 1, 6))
    said = text_of(Predictions(frame, table.logits, table.class_names))
    share = 100 * (types == 6).mean()
    assert "By skin_type (single types)" in said and "By skin_type_centaur;" in said
    assert f"skin_type_centaur and skin_type name the same type on {share:.0f} % (" in said


@pytest.mark.parametrize("columns", [{}, {"sex": None}])
def test_without_groups_there_is_no_part(columns):
    table = people(2, (60,))
    frame = table.frame.drop(columns="sex").assign(**columns)
    assert part_of(Predictions(frame, table.logits, table.class_names)) is None
