"""The sample that visual words are made of."""

import tracemalloc

import numpy as np
import pytest

from dermasense.data.key_points import neighbours, sampled


def drawn(pictures, most):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (int(n), 128), np.uint8) for n in rng.integers(0, most, pictures)]


@pytest.mark.parametrize(("pictures", "most"), [(50, 500), (50, 10**6), (2000, 1000)])
def test_the_sample_is_that_of_all_descriptors_in_one_table(pictures, most):
    descriptors = drawn(pictures, 40)
    table = np.concatenate(descriptors)
    rows = np.random.default_rng(0).choice(len(table), min(most, len(table)), replace=False)
    found = sampled(descriptors, most, np.random.default_rng(0))
    np.testing.assert_array_equal(found, table[rows])
    assert found.dtype == np.uint8


def test_the_descriptors_of_all_pictures_are_never_copied(monkeypatch):
    monkeypatch.setattr("dermasense.data.key_points.SAMPLE", 500)
    points = [(np.zeros((len(each), 2), "f4"), each) for each in drawn(100, 4000)]
    held = sum(each.nbytes for _, each in points)
    monkeypatch.setattr("dermasense.data.key_points._nearest", lambda a, b: np.zeros(len(a), int))
    tracemalloc.start()
    try:
        neighbours(points, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < held / 2
