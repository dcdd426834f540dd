"""SIFT key points (Lowe 2004) of pictures: who shares some, and do they agree on one transform."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from dermasense.data.preprocess import UnreadableImage, read_rgb

SIDE, KEY_POINTS, MIN_SPREAD = 256, 300, 12.0
WORDS, SAMPLE = 64, 40_000  # of the vocabulary, and descriptors that it is made of
NEIGHBOURS = 10  # pictures that each is held against
LEAST = 6  # key points without which a picture says nothing
Points = tuple[np.ndarray, np.ndarray]


def key_points(path: str) -> Points:
    """Positions (k, 2) on a picture of at most 256 px, and uint8 SIFT descriptors (k, 128).

    Of an unreadable picture none.
    """
    try:
        grey = _grey(path).astype(np.uint8)
    except UnreadableImage:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    found, descriptors = cv2.SIFT_create(KEY_POINTS).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    return np.array([p.pt for p in found], np.float32), descriptors.astype(np.uint8)


def agreeing(one: Points, other: Points) -> tuple[int, np.ndarray | None]:
    """Key points of two pictures that agree on one shift, rotation and moderate scaling.

    Returns:
        How many, and the transform (2, 3) from the first to the second; 0 and None where they
        agree on none, or in one corner only, as a watermark does.
    """
    (here, a), (there, b) = one, other
    if len(here) < LEAST or len(there) < LEAST:
        return 0, None
    a, b = _rooted(a), _rooted(b)
    likeness = a @ b.T
    best = likeness.argmax(1)
    mutual = likeness.argmax(0)[best] == np.arange(len(a))
    ranked = np.sort(likeness, axis=1)
    distinct = (1 - ranked[:, -1]) < 0.72 * (1 - ranked[:, -2])
    matched = mutual & distinct
    if matched.sum() < 5:
        return 0, None
    cv2.setRNGSeed(0)  # RANSAC draws; a pair is alike or not whichever pairs were looked at before
    transform, inside = cv2.estimateAffinePartial2D(
        here[matched], there[best[matched]], ransacReprojThreshold=5
    )
    if transform is None or not 0.6 < np.hypot(*transform[:, 0]) < 1.67:
        return 0, None
    found = here[matched][inside[:, 0] > 0]
    return (len(found), transform) if min(found.std(0)) > MIN_SPREAD else (0, None)


def shown_alike(one: str, other: str, transform: np.ndarray) -> float:
    """Correlation of two pictures' structure where both show the same under a transform, -1..1."""
    first, second = _grey(one).astype(np.float32), _grey(other).astype(np.float32)
    size, flags = first.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, transform, size, flags=flags)
    inside = cv2.warpAffine(np.ones_like(second), transform, size, flags=flags) > 0.99
    a, b = _structure(first)[inside], _structure(moved)[inside]
    if min(len(a), len(b)) < 2 or min(a.std(), b.std()) < 1e-3:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def neighbours(points: Sequence[Points], count: int = NEIGHBOURS) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, of which one is among the nearest of the other by its key points.

    A picture is the sum of what its descriptors differ from their visual word by (VLAD, Jegou et
    al. 2010). Few pictures are all held against each other.
    """
    told = [i for i, (places, _) in enumerate(points) if len(places) >= LEAST]
    if len(told) <= 2 * count:
        return {(i, j) for place, i in enumerate(told) for j in told[place + 1 :]}
    vectors = _aggregated([points[i][1] for i in told])
    pairs = set()
    for start in range(0, len(told), 512):
        scores = vectors[start : start + 512] @ vectors.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        for row, near in enumerate(np.argpartition(-scores, count, axis=1)[:, :count]):
            one = told[start + row]
            pairs |= {(min(one, told[other]), max(one, told[other])) for other in near}
    return pairs


def _aggregated(descriptors: Sequence[np.ndarray]) -> np.ndarray:
    """Unit vectors (N, WORDS * 128)."""
    words = _vocabulary(descriptors)
    vectors = np.zeros((len(descriptors), WORDS * 128), np.float32)
    for row, each in enumerate(descriptors):
        rooted = _rooted(each)
        nearest = _nearest(rooted, words)
        sums = np.zeros((WORDS, 128), np.float32)
        np.add.at(sums, nearest, rooted - words[nearest])
        sums /= np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6
        vectors[row] = sums.ravel() / (np.linalg.norm(sums) + 1e-6)
    return vectors


def sampled(
    descriptors: Sequence[np.ndarray], most: int, random: np.random.Generator
) -> np.ndarray:
    """At most `most` rows (n, 128) of all pictures' descriptors, drawn without copying them all."""
    ends = np.cumsum([len(each) for each in descriptors])
    chosen = random.choice(ends[-1], min(most, ends[-1]), replace=False)
    pictures = np.searchsorted(ends, chosen, side="right")
    return np.stack([descriptors[i][at - ends[i]] for i, at in zip(pictures, chosen, strict=True)])


def _vocabulary(descriptors: Sequence[np.ndarray]) -> np.ndarray:
    """Visual words (WORDS, 128): ten rounds of k-means on a sample; the same for the same input."""
    random = np.random.default_rng(0)
    sample = _rooted(sampled(descriptors, SAMPLE, random))
    words = sample[random.choice(len(sample), WORDS, replace=len(sample) < WORDS)]
    for _ in range(10):
        nearest = _nearest(sample, words)
        words = np.stack(
            [
                sample[nearest == k].mean(0) if (nearest == k).any() else words[k]
                for k in range(WORDS)
            ]
        )
    return words


def _nearest(rooted: np.ndarray, words: np.ndarray) -> np.ndarray:
    return (rooted @ words.T - (words**2).sum(1) / 2).argmax(1)


def _rooted(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of L1-normed descriptors (RootSIFT, Arandjelovic and Zisserman 2012)."""
    return np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True, dtype=np.float32), 1))


def _grey(path: str) -> np.ndarray:
    image = read_rgb(path).convert("L")
    scale = SIDE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _structure(grey: np.ndarray) -> np.ndarray:
    """What is between 2 and 10 px."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 2)
    return smooth - cv2.GaussianBlur(smooth, (0, 0), 10)
