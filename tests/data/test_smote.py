"""SMOTE's recipe: imbalanced-learn's own output, without its array."""

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE

from dermasense.data.balance import blend
from dermasense.data.pages import release
from dermasense.data.smote import nearest_rows, smote_recipe
from dermasense.errors import DermaSenseError

SIDE = 24
NAMES = ("bkl", "df", "mel", "nv")


@pytest.fixture(scope="module")
def split() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [17, 6, 30, 60]))
    return rng.integers(0, 256, (len(labels), SIDE, SIDE, 3), dtype=np.uint8), labels


def blends(images, recipe) -> np.ndarray:
    parts = zip(recipe.first, recipe.second, recipe.weight, strict=True)
    return np.stack([blend(images[i], images[j], w) for i, j, w in parts]).reshape(len(recipe), -1)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("seed", [0, 42])
def test_blends_are_imbalanced_learns_rows_bit_by_bit(split, k, seed):
    images, labels = split
    pixels = images.reshape(len(labels), -1).astype(np.float64)
    expected, classes = SMOTE(k_neighbors=k, random_state=seed).fit_resample(pixels, labels)
    recipe = smote_recipe(images, labels, NAMES, k=k, seed=seed)
    assert np.array_equal(blends(images, recipe), expected[len(labels) :])
    assert np.array_equal(labels[recipe.first], classes[len(labels) :])
    # the original may have held float32: rounding the blend once gives that too
    single, _ = SMOTE(k_neighbors=k, random_state=seed).fit_resample(
        pixels.astype(np.float32), labels
    )
    assert np.array_equal(blends(images, recipe).astype(np.float32), single[len(labels) :])


def test_smooth_images_too(split):
    """Real pictures are close to each other, where rounded distances would swap neighbours."""
    _, labels = split
    rng = np.random.default_rng(1)
    images = (128 + rng.integers(-1, 2, (len(labels), SIDE, SIDE, 3))).astype(np.uint8)
    pixels = images.reshape(len(labels), -1).astype(np.int64)
    nearest = nearest_rows(images, np.arange(len(labels)), 5)
    squared = ((pixels[:, None] - pixels[None]) ** 2).sum(axis=2).astype(float)
    np.fill_diagonal(squared, np.inf)
    assert np.array_equal(nearest, np.argsort(squared, axis=1, kind="stable")[:, :5])


@pytest.mark.parametrize("images_a_block", [1, 4, 7, 100])
def test_blocks_change_nothing(split, images_a_block):
    images, labels = split
    rows = np.flatnonzero(labels == 2)
    whole = nearest_rows(images, rows, 5)
    assert np.array_equal(nearest_rows(images, rows, 5, images_a_block * SIDE * SIDE * 3), whole)


def test_a_memory_map_gives_the_same_and_is_not_copied(split, tmp_path):
    images, labels = split
    np.save(tmp_path / "store.npy", images)
    mapped = np.load(tmp_path / "store.npy", mmap_mode="r")
    recipe = smote_recipe(mapped, labels, NAMES, seed=5)
    assert np.array_equal(
        blends(mapped, recipe), blends(images, smote_recipe(images, labels, NAMES, seed=5))
    )


def test_shuffled_rows_change_who_stands_where_and_nothing_else(split):
    images, labels = split
    order = np.random.default_rng(2).permutation(len(labels))
    rows = np.flatnonzero(labels == 0)
    moved = nearest_rows(images[order], np.argsort(order)[rows], 3)
    assert np.array_equal(moved, nearest_rows(images, rows, 3))


def test_duplicates_are_neighbours_of_each_other_and_never_of_themselves(split):
    images = split[0][:8].copy()
    images[5] = images[2]
    nearest = nearest_rows(images, np.arange(8), 3)
    assert nearest[2, 0] == 5 and nearest[5, 0] == 2
    assert not (nearest == np.arange(8)[:, None]).any()


def test_too_few_images_is_one_sentence_with_class_count_and_the_k_that_would_do(split):
    images, labels = split
    kept = np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:4]])
    with pytest.raises(DermaSenseError) as error:
        smote_recipe(images[kept], labels[kept], NAMES, k=5)
    assert str(error.value) == (
        "class 'df' has 4 training images, and balance=smote with balance.k_neighbors=5 needs 6 "
        "(an image is not its own neighbour); use balance.k_neighbors=3 or balance=sampler"
    )
    assert len(smote_recipe(images[kept], labels[kept], NAMES, k=3)) == 60 * 4 - len(kept)


def test_as_many_images_as_neighbours_are_one_too_few(split):
    images, labels = split
    kept = np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:5]])
    with pytest.raises(DermaSenseError, match=r"'df' has 5 training images.*k_neighbors=4"):
        smote_recipe(images[kept], labels[kept], NAMES, k=5)


def test_a_class_that_is_absent_is_named(split):
    images, labels = split
    kept = np.flatnonzero(labels != 3)
    with pytest.raises(DermaSenseError, match=r"'?nv'?.*balance=smote|balance=smote.*nv"):
        smote_recipe(images[kept], labels[kept], NAMES)


def test_six_images_are_enough_for_k_5(split):
    images, labels = split
    assert (labels == 1).sum() == 6
    assert len(smote_recipe(images, labels, NAMES, k=5)) == 60 * 4 - len(labels)


def test_a_single_image_cannot_be_blended(split):
    images, labels = split
    kept = np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:1]])
    with pytest.raises(DermaSenseError, match=r"'df' has 1 training image .* no balance.k_nei"):
        smote_recipe(images[kept], labels[kept], NAMES)


def test_k_must_be_positive(split):
    with pytest.raises(DermaSenseError, match=r"k_neighbors=0"):
        smote_recipe(*split, NAMES, k=0)


def test_balanced_classes_need_nothing(split):
    images, _ = split
    assert len(smote_recipe(images[:6], np.array([0, 1, 2] * 2), NAMES[:3])) == 0


def test_release_lets_a_map_go_and_leaves_private_changes_alone(tmp_path):
    np.save(tmp_path / "store.npy", np.arange(10_000, dtype=np.uint8))
    mapped = np.load(tmp_path / "store.npy", mmap_mode="r")
    release(mapped[10:])
    assert mapped[11] == 11
    private = np.load(tmp_path / "store.npy", mmap_mode="c")
    private[:] = 7
    release(private)
    release(np.zeros(3))
    assert (private == 7).all()
