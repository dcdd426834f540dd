"""The detector: the promised share of false alarms, and a sharp eye for what is elsewhere."""

import json

import numpy as np
import pytest

from dermasense.errors import DermaSenseError
from dermasense.inference.novelty import Novelty


def vectors(n, seed, width=100, inside=3):
    """Points of a plane in a wide space, with a little noise around it."""
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(size=(inside, width))
    return 3 + rng.normal(size=(n, inside)) @ plane + 0.1 * rng.normal(size=(n, width))


def test_unseen_pictures_of_the_same_kind_are_warned_of_as_often_as_promised():
    rates = [
        np.mean(Novelty.fit(vectors(400, s), false_alarms=0.05).distance(vectors(2000, 50 + s)) > 1)
        for s in range(5)
    ]
    assert 0.02 < np.mean(rates) < 0.07


def test_what_leaves_the_plane_is_found_and_what_stays_in_it_is_not():
    detector = Novelty.fit(vectors(400, 0))
    away = vectors(50, 1) + 0.5 * np.random.default_rng(2).normal(size=(50, 100))
    assert (detector.distance(away) > 1).all()
    assert detector.directions.shape == (5, 100)
    np.testing.assert_allclose(detector.directions @ detector.directions.T, np.eye(5), atol=1e-5)


def test_pictures_of_one_lesion_are_left_out_together():
    """Copies of a lesion must not vouch for each other: the limit is that of lesions."""
    once = vectors(100, 0)
    copies, groups = np.repeat(once, 5, axis=0), np.repeat(np.arange(100), 5)
    assert Novelty.fit(copies, groups).limit >= 0.95 * Novelty.fit(once).limit


def test_the_round_trip_gives_the_same_distances_and_keeps_the_other_keys(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"temperature": 1.5}))
    detector = Novelty.fit(vectors(100, 0))
    detector.save(tmp_path, fitted_on="validation")
    info = json.loads((tmp_path / "model.json").read_text())
    assert info["temperature"] == 1.5 and info["ood"]["fitted_on"] == "validation"
    again = Novelty.of(tmp_path, info)
    np.testing.assert_array_equal(again.distance(vectors(9, 1)), detector.distance(vectors(9, 1)))
    assert (again.n, again.false_alarms) == (100, 0.01)
    before = (tmp_path / "ood.safetensors").read_bytes()
    detector.save(tmp_path)
    assert (tmp_path / "ood.safetensors").read_bytes() == before
    with pytest.raises(DermaSenseError, match=r"ood.safetensors: is of another .* gives 64"):
        again.distance(np.zeros((2, 64), np.float32))


def test_a_bundle_without_one_has_none(tmp_path):
    assert Novelty.of(tmp_path, {}) is None
    with pytest.raises(DermaSenseError, match="unknown kind"):
        Novelty.of(tmp_path, {"ood": {"method": "oracle"}})


def test_too_few_pictures_are_refused():
    with pytest.raises(DermaSenseError, match="49 pictures are too few"):
        Novelty.fit(vectors(49, 0))
    with pytest.raises(DermaSenseError, match="one lesion"):
        Novelty.fit(vectors(60, 0), ["a"] * 60)
