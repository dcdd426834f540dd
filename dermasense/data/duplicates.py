"""Photographs of the same scene, for data sets of clinical photographs that carry no lesion id.

Two ways in. Where the colours of 32 x 32 thumbnails agree roughly, the fine structure must agree at
some small shift (peak of the cross-correlation, Lewis 1995, of high-passed 64 x 64 thumbnails) and
key points on one similarity transform of the plane: copies, re-exposures and shots a moment apart.
And whatever the colours, where a picture is among the nearest of another by its key points, many of
them must agree on a transform under which the pixels agree as well: crops, turns, other colours and
frames. Two lesions alike in colour and place do not pass, nor does a watermark. Measured on the
2,860 photographs of fitzpatrick21; dermatoscopic images are too alike in composition for it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dermasense.data.key_points import agreeing, key_points, neighbours, shown_alike
from dermasense.data.preprocess import UnreadableImage, read_rgb
from dermasense.data.store import ABSENT, file_digest, in_threads
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_text

VERSION = 2
COLOUR, PEAK = 0.6, 0.25  # least agreement for a pair to be looked at further
# A pair is joined where it reaches all three of (key points, colour, peak) in any row: the more key
# points agree, the less the rest must. The last two rows are for blurred copies and smooth skin,
# which have no key points. Chosen by looking at every pair near these limits in fitzpatrick21.
JOINING = (
    (20, 0.60, 0.25),
    (12, 0.60, 0.35),
    (10, 0.60, 0.45),
    (8, 0.70, 0.40),
    (7, 0.90, 0.35),
    (5, 0.75, 0.55),
    (0, 0.94, 0.80),
    (0, 0.95, 0.35),
)
# By key points alone: least of them, and least agreement of the pixels. A watermark on smooth skin
# reaches (20, 0.42).
BY_POINTS = ((23, 0.25), (10, 0.45))


def near_duplicates(paths: Sequence[str], cache_dir: str | Path | None = None) -> np.ndarray:
    """Cluster pictures of the same scene (single linkage over joined pairs).

    Args:
        paths: picture files; unreadable ones stay alone.
        cache_dir: where the result is kept, keyed by the bytes of all pictures; None: nowhere.

    Returns:
        int64 (n,): for each path the position of the first path of its cluster. The clusters do
        not depend on the order of the paths.
    """
    if not len(paths):
        return np.empty(0, np.int64)
    digests = [d.hex() for d in in_threads(file_digest, paths)]
    order = sorted(range(len(paths)), key=digests.__getitem__)
    key = hashlib.blake2b(json.dumps([VERSION, cv2.__version__]).encode(), digest_size=16)
    for i in order:
        key.update(digests[i].encode())
    file = Path(cache_dir) / f"duplicates-{key.hexdigest()}.json" if cache_dir else None
    pairs = _read(file, len(paths))
    if pairs is None:
        pairs = _find_pairs([paths[i] for i in order])
        if file:
            write_text(file, json.dumps(pairs))
    same = [
        (k, k + 1)
        for k in range(len(order) - 1)
        if digests[order[k]] == digests[order[k + 1]] != ABSENT.hex()
    ]
    return _clusters(len(paths), [(order[i], order[j]) for i, j in [*pairs, *same]])


def _read(file: Path | None, count: int) -> list[tuple[int, int]] | None:
    try:
        pairs = [(int(i), int(j)) for i, j in read_json(file)] if file else None
    except (OSError, ValueError, TypeError, DermaSenseError):  # absent or damaged: found again
        return None
    return pairs if pairs is None or all(0 <= i < j < count for i, j in pairs) else None


def _find_pairs(paths: list[str]) -> list[tuple[int, int]]:
    colour, spectra = _thumbnails(paths)
    candidates = []
    for start in range(0, len(paths), 512):
        scores = colour[start : start + 512] @ colour.T
        first, second = np.nonzero(scores >= COLOUR)
        keep = start + first < second
        first, second = first[keep], second[keep]
        peaks = _peaks(spectra, start + first, second)
        rows = zip(start + first, second, scores[first, second], peaks, strict=True)
        candidates += [(int(i), int(j), s, p) for i, j, s, p in rows if p >= PEAK]
    points = list(in_threads(key_points, paths))
    joined = set()
    for i, j, *likeness in candidates:
        found = (agreeing(points[i], points[j])[0], *likeness)
        if any(np.greater_equal(found, least).all() for least in JOINING):
            joined.add((i, j))
    near = sorted(neighbours(points) - joined)
    alike = in_threads(lambda pair: _by_points(paths, points, *pair), near)
    return sorted(joined.union(pair for pair, same in zip(near, alike, strict=True) if same))


def _by_points(paths: list[str], points: list, i: int, j: int) -> bool:
    count, transform = agreeing(points[i], points[j])
    if count < min(least for least, _ in BY_POINTS):
        return False
    pixels = shown_alike(paths[i], paths[j], transform)
    return any(count >= least and pixels >= agreement for least, agreement in BY_POINTS)


def _thumbnails(paths: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of colours (n, 3072), and spectra (n, 64, 33) of high-passed grey thumbnails."""
    window = np.hanning(66)[1:-1].astype(np.float32)
    window = np.sqrt(np.outer(window, window))

    def look(path: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            image = read_rgb(path)
        except UnreadableImage:
            return np.zeros(3072, np.float32), np.zeros((64, 33), np.complex64)
        small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
        small = (small - small.mean((0, 1))).ravel()
        grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), np.float32)
        fine = grey - cv2.GaussianBlur(grey, (0, 0), 4)
        fine = fine * window
        fine -= fine.mean()
        fine /= np.linalg.norm(fine) + 1e-6
        return small / (np.linalg.norm(small) + 1e-6), np.fft.rfft2(fine).astype(np.complex64)

    colour, spectra = zip(*in_threads(look, paths), strict=True)
    return np.stack(colour), np.stack(spectra)


def _peaks(spectra: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Highest correlation within shifts of a quarter of the picture, one for each pair."""
    peaks = np.zeros(len(second), np.float32)
    for start in range(0, len(second), 1024):
        part = slice(start, start + 1024)
        product = spectra[first[part]] * spectra[second[part]].conj()
        surface = np.fft.irfft2(product, s=(64, 64))
        near = np.r_[0:16, 48:64]
        peaks[part] = surface[:, near][:, :, near].max((1, 2))
    return peaks


def _clusters(count: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    parent = np.arange(count)

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return int(i)

    for i, j in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    return np.array([root(i) for i in range(count)], dtype=np.int64)
