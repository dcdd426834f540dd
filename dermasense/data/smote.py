"""Pixel SMOTE as a recipe: who is blended with whom, and how much; the blend is made when read.

Chawla et al. 2002 on flattened images. All of HAM10000 at 224 px balanced to its largest class
would be 46,935 rows, 26 GiB in float32; the recipe is three numbers a row. Which neighbours and
which weights are drawn is imbalanced-learn's own doing: it is handed row numbers in place of
pixels, a finder of neighbours that looks the pixels up, and a hook that records what it drew.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE

from dermasense.data.balance import Draws, Permutation, TrainingSplit
from dermasense.data.pages import release
from dermasense.data.smote_features import check_neighbours

# Pixels held at once by the search for neighbours: two blocks of images of this many bytes.
BLOCK_BYTES = 96 * 2**20
# Of two pixels less 128 the product is at most 2^14, so float32 (24 bits) adds up 2^10 exactly.
_EXACT = 1024


def with_blends(split: TrainingSplit, k_neighbors: int = 5) -> Permutation:
    """The rows of balance=smote: every real image once, and the blends."""
    made = smote_recipe(
        split.images, split.labels, split.class_names, k=k_neighbors, seed=split.seed
    )
    return Permutation(split.plain + made)


def smote_recipe(
    images: Sequence[np.ndarray],
    labels: np.ndarray,
    class_names: Sequence[str],
    k: int = 5,
    seed: int = 0,
) -> Draws:
    """The synthetic samples that bring every class to the size of the largest one.

    Blended by `dermasense.data.balance.blend` they equal the rows that imbalanced-learn's
    `SMOTE(k_neighbors=k, random_state=seed)` appends to float64 pixels, in the same order. One
    difference: between images at exactly the same distance the lower row is nearer here, and no
    image is its own neighbour, where imbalanced-learn leaves both open.

    Args:
        images: (S, S, 3) uint8 at each row; a memory map is read in blocks and its pages let go.
        labels: (n,) class indices of the rows.
        class_names: the order of the class indices.
        k: neighbours of the same class among which one is drawn, >= 1.
        seed: of imbalanced-learn's generator.

    Raises:
        DermaSenseError: where a class has no image, or not more than k.
    """
    labels = np.asarray(labels, dtype=np.int64)
    counts = np.bincount(labels, minlength=len(class_names))
    check_neighbours("smote", counts, class_names, k)
    recorder = _RecordingSMOTE(k_neighbors=_PixelNeighbours(images, k), random_state=seed)
    if (counts == counts.max()).all():  # nothing to make
        return Draws.of_rows(np.empty(0))
    recorder.fit_resample(np.arange(len(labels))[:, None], labels)
    first, second, weight = (np.concatenate(parts) for parts in zip(*recorder.drawn, strict=True))
    return Draws(first, second, weight)


class _RecordingSMOTE(SMOTE):
    """SMOTE over row numbers: notes what imbalanced-learn drew where it would have blended."""

    def _fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.drawn: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        return super()._fit_resample(X, y)

    def _generate_samples(
        self,
        X: np.ndarray,
        nn_data: np.ndarray,
        nn_num: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        steps: np.ndarray,
        y_type: Any = None,
        y: Any = None,
    ) -> np.ndarray:
        self.drawn.append((X[rows, 0], nn_data[nn_num[rows, cols], 0], steps[:, 0]))
        return X[rows]


class _PixelNeighbours:
    """The part of scikit-learn's NearestNeighbors that SMOTE uses, over rows of `images`."""

    def __init__(self, images: Sequence[np.ndarray], k: int) -> None:
        self.images, self.n_neighbors = images, k + 1

    def __sklearn_clone__(self) -> "_PixelNeighbours":
        return self  # a clone would copy the memory map into memory

    def fit(self, X: np.ndarray) -> "_PixelNeighbours":
        return self

    def kneighbors(self, X: np.ndarray, return_distance: bool = False) -> np.ndarray:
        """For rows X (m, 1): positions in X of each one and its k nearest others, (m, k + 1)."""
        others = nearest_rows(self.images, X[:, 0], self.n_neighbors - 1)
        return np.column_stack([np.arange(len(X)), others])

    def kneighbors_graph(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("imbalanced-learn asks for the method's name only")


def nearest_rows(
    images: Sequence[np.ndarray], rows: np.ndarray, k: int, block_bytes: int = BLOCK_BYTES
) -> np.ndarray:
    """Nearest neighbours by exact Euclidean distance of the pixels, in blocks of images.

    Args:
        images: (S, S, 3) uint8 at each row.
        rows: (m,) rows to compare with each other, m > k.
        k: neighbours for each.
        block_bytes: pixels to hold at once, for each of two blocks.

    Returns:
        (m, k) int64, positions in `rows`, nearest first, the lower one where distances are equal.
    """
    best_distance = np.full((len(rows), k), np.inf)
    best_position = np.zeros((len(rows), k), dtype=np.int64)

    def offer(queries: slice, keys: slice, distance: np.ndarray) -> None:
        positions = np.broadcast_to(np.arange(keys.start, keys.stop), distance.shape)
        distance = np.concatenate([best_distance[queries], distance], axis=1)
        positions = np.concatenate([best_position[queries], positions], axis=1)
        order = np.lexsort((positions, distance), axis=1)[:, :k]
        best_distance[queries] = np.take_along_axis(distance, order, axis=1)
        best_position[queries] = np.take_along_axis(positions, order, axis=1)

    for queries, query_pixels in _blocks(images, rows, 0, block_bytes):
        distance = _squared_distances(query_pixels, query_pixels)
        np.fill_diagonal(distance, np.inf)
        offer(queries, queries, distance)
        for keys, key_pixels in _blocks(images, rows, queries.stop, block_bytes):
            distance = _squared_distances(query_pixels, key_pixels)
            offer(queries, keys, distance)
            offer(keys, queries, distance.T)
    return best_position


def _blocks(
    images: Sequence[np.ndarray], rows: np.ndarray, start: int, block_bytes: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Pixels of rows[start:], flattened, some at a time: (slice of rows, (b, S*S*3) uint8)."""
    if start >= len(rows):
        return
    size = np.asarray(images[int(rows[0])]).size
    step = max(1, block_bytes // size)
    for low in range(start, len(rows), step):
        high = min(low + step, len(rows))
        pixels = np.empty((high - low, size), dtype=np.uint8)
        for place, row in enumerate(rows[low:high]):
            pixels[place] = np.asarray(images[int(row)]).reshape(-1)
        release(images)
        yield slice(low, high), pixels


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) float64, exact: |a|^2 - 2 ab + |b|^2 over pieces that float32 adds exactly.

    Twice as fast as float64 products, and without the rounding that lets near neighbours swap.
    """
    total = np.zeros((len(a), len(b)))
    for low in range(0, a.shape[1], _EXACT):
        x = a[:, low : low + _EXACT].astype(np.float32) - 128
        y = x if b is a else b[:, low : low + _EXACT].astype(np.float32) - 128
        total -= 2.0 * (x @ y.T)
        total += np.einsum("ij,ij->i", x, x)[:, None]
        total += np.einsum("ij,ij->i", y, y)
    return total
