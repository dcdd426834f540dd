"""Copies of a picture among many: re-encoded, resized, turned, mirrored, cropped, re-exposed.

Two looks. Candidates are the nearest neighbours by the embeddings, whitened (Jegou and Chum 2012),
which forgive a crop, and by thumbnails in all eight positions of the square, which forgive nothing
but are sure of a turn. Then pixels decide: a template match in eight positions and five scales
places one picture on the other, the enhanced correlation coefficient (Evangelidis and Psarakis
2008) aligns them, and the fine structure of what both show must agree.

Made for dermatoscopic images, which are alike in composition; photographs of one scene from two
viewpoints are found by `dermasense.data.duplicates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dermasense.data.row_file import in_threads

SIDE, COARSE, TINY = 96, 32, 16  # px of the thumbnails for the three comparisons
NEIGHBOURS, TWINS = 6, 3  # candidates of a picture by embedding, and by thumbnail
COMPONENTS = 128  # of the embeddings after whitening
PLACED, AGREES = 0.74, 0.77  # least correlation of the template match, and of the fine structure
SCALES = (27, 24, 21)  # px of the coarse thumbnail that a crop is taken to show
MARGIN = 1  # px by which a whole picture may be shifted
PLAIN = 0.9  # template match above which nothing need be moved
HOPEFUL = 0.35  # agreement at half size below which a pair is given up
HALF = np.array([1.0, 1.0, 0.5], np.float32)  # a map between pictures of half the size
FAINT = 2.0  # grey levels that structure must exceed to count
FLAT = 1.0  # grey levels of fine structure below which a picture says nothing
TURNS = (
    "as it is",
    "flipped left to right",
    "flipped top to bottom",
    "turned by 180",
    "flipped on the diagonal",
    "turned by 90 clockwise",
    "turned by 270 clockwise",
    "flipped on the other diagonal",
)


@dataclass(frozen=True)
class Copy:
    """Two pictures that show the same pixels.

    Attributes:
        first, second: their rows, first < second.
        turn: how the first must be turned to lie on the second; one of TURNS.
        share: of the picture's side that the smaller view shows; 1 where nothing is cropped.
        likeness: correlation of the fine structure after alignment, AGREES to 1.
    """

    first: int
    second: int
    turn: str
    share: float
    likeness: float


def find_copies(
    pictures: Sequence[np.ndarray], vectors: np.ndarray, *, apart: int | None = None
) -> list[Copy]:
    """Pairs of pictures of which one is a copy of the other.

    Args:
        pictures: pixels (N, S, S, 3) uint8.
        vectors: embeddings (N, D) of the same pictures.
        apart: only pairs of which one stands before this row and the other not; None for all.

    Returns:
        The pairs, the most alike first.
    """
    if len(pictures) < 2 or apart in (0, len(pictures)):
        return []
    greys = np.stack(list(in_threads(_grey, pictures)))
    coarse = np.stack(list(in_threads(_coarse, greys)))
    rough = coarse.std((1, 2)) >= FLAT
    pairs = _candidates(coarse, vectors, rough, apart)
    verdicts = in_threads(lambda pair: _verified(pair, greys, coarse), pairs)
    return sorted((v for v in verdicts if v), key=lambda copy: -copy.likeness)


def whitened(vectors: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """Unit vectors (N, d) of embeddings whose principal components count alike."""
    centred = vectors - vectors.mean(0)
    width = min(components, *vectors.shape)
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes, values = axes[:, ::-1][:, :width], np.maximum(values[::-1][:width], 1e-6 * values[-1])
    turned = centred @ (axes / np.sqrt(np.maximum(values, 1e-12)))
    return (turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)).astype("f4")


def _candidates(
    coarse: np.ndarray, vectors: np.ndarray, rough: np.ndarray, apart: int | None
) -> list[tuple[int, int]]:
    """Pairs worth a look, without pictures that have no structure."""
    tiny = np.stack([cv2.resize(c, (TINY, TINY), interpolation=cv2.INTER_AREA) for c in coarse])
    tiny -= tiny.mean((1, 2), keepdims=True)
    tiny /= np.linalg.norm(tiny, axis=(1, 2), keepdims=True) + 1e-6
    turned = [_turned(tiny, turn).reshape(len(tiny), -1) for turn in range(8)]
    pairs = np.concatenate(
        [_neighbours([whitened(vectors)], NEIGHBOURS, apart), _neighbours(turned, TWINS, apart)]
    )
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return [(int(i), int(j)) for i, j in pairs[rough[pairs].all(axis=1)]]


def _neighbours(positions: Sequence[np.ndarray], k: int, apart: int | None) -> np.ndarray:
    """(row, one of its k nearest others) by the largest dot product over all positions, (n, 2).

    Args:
        positions: unit vectors (N, d) of the same rows; those of the first are held against all.
        k: how many others.
        apart: rows from here on look among those before it; None: all look among all others.
    """
    first, end = (0, len(positions[0])) if apart is None else (apart, apart)
    k = min(k, end - 1 if apart is None else end)
    found = []
    for start in range(first, len(positions[0]), 512):
        rows = np.arange(start, min(start + 512, len(positions[0])))
        block = positions[0][rows]
        scores = block @ positions[0][:end].T
        for each in positions[1:]:
            np.maximum(scores, block @ each[:end].T, out=scores)
        if apart is None:
            scores[np.arange(len(rows)), rows] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found.append(np.stack([np.repeat(rows, k), best.ravel()], axis=1))
    return np.concatenate(found)


def _grey(picture: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _coarse(grey: np.ndarray) -> np.ndarray:
    """(32, 32) float32 of what is finer than a tenth of the picture."""
    return cv2.resize(_fine(grey, 9), (COARSE, COARSE), interpolation=cv2.INTER_AREA)


def _fine(grey: np.ndarray, sigma: float) -> np.ndarray:
    grey = grey.astype(np.float32)
    return grey - cv2.GaussianBlur(grey, (0, 0), sigma)


def _turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """The last two axes in one of the eight positions, in the order of TURNS."""
    if turn >= 4:
        pictures = pictures.swapaxes(-1, -2)
    if turn in (1, 3, 5, 7):
        pictures = pictures[..., ::-1]
    if turn in (2, 3, 6, 7):
        pictures = pictures[..., ::-1, :]
    return np.ascontiguousarray(pictures)


@dataclass(frozen=True)
class _Placement:
    score: float
    turn: int
    scale: float  # of the smaller view
    within: bool  # the first lies within the second
    shift: tuple[float, float]  # px of the fine thumbnail


def _verified(pair: tuple[int, int], greys: np.ndarray, coarse: np.ndarray) -> Copy | None:
    first, second = pair
    place = _placed(coarse[first], coarse[second])
    if place.score < PLACED:
        return None
    likeness, scale = _aligned(_turned(greys[first], place.turn), greys[second], place)
    if likeness < AGREES:
        return None
    return Copy(first, second, TURNS[place.turn], round(min(scale, 1.0), 2), round(likeness, 4))


def _placed(first: np.ndarray, second: np.ndarray) -> _Placement:
    """The best place of one picture on the other: position, scale, shift."""
    best = _Placement(-1.0, 0, 1.0, True, (0.0, 0.0))
    inner = slice(MARGIN, COARSE - MARGIN)
    unit = SIDE / COARSE
    small = {
        size: cv2.resize(second, (size, size), interpolation=cv2.INTER_AREA) for size in SCALES
    }
    for turn in range(8):
        one = _turned(first, turn)
        trials = [(one[inner, inner], second, 1.0, True)]
        for size in SCALES:
            shrunk = cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA)
            trials.append((shrunk, second, size / COARSE, True))
            trials.append((small[size], one, size / COARSE, False))
        for template, whole, scale, within in trials:
            surface = cv2.matchTemplate(whole, np.ascontiguousarray(template), cv2.TM_CCOEFF_NORMED)
            _, score, _, (across, down) = cv2.minMaxLoc(surface)
            if np.isfinite(score) and score > best.score:
                inset = MARGIN if scale == 1.0 else 0
                shift = (across - inset) * unit, (down - inset) * unit
                best = _Placement(score, turn, scale, within, shift)
    return best


def _aligned(first: np.ndarray, second: np.ndarray, place: _Placement) -> tuple[float, float]:
    """Correlation of the fine structure where both show the same, and the scale found.

    Aligned at half size first: most pairs are two pictures, and need no more to be told apart.
    """
    small, large = (first, second) if place.within else (second, first)
    small, large = small.astype(np.float32), large.astype(np.float32)
    warp = np.array([[place.scale, 0, place.shift[0]], [0, place.scale, place.shift[1]]], "f4")
    best = -1.0, warp
    if place.score >= PLAIN:  # a whole copy lies there already
        best = _agreement(small, large, warp), warp
    halves = (cv2.resize(p, (SIDE // 2,) * 2, interpolation=cv2.INTER_AREA) for p in (small, large))
    halved = _refined(*halves, warp * HALF, 30)
    if halved is not None:
        best = max(best, (_agreement(small, large, halved / HALF), halved / HALF), key=_likeness)
    if best[0] >= HOPEFUL and (warp := _refined(small, large, best[1], 30)) is not None:
        best = max(best, (_agreement(small, large, warp), warp), key=_likeness)
    likeness, warp = best
    return likeness, _scale(warp)


def _refined(
    small: np.ndarray, large: np.ndarray, warp: np.ndarray, steps: int
) -> np.ndarray | None:
    """The affine map from one picture to the other near a first guess; None where there is none."""
    precision = 1e-4 if len(small) == SIDE else 1e-3
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, precision)
    try:
        return cv2.findTransformECC(
            small, large, warp.astype(np.float32), cv2.MOTION_AFFINE, criteria, None, 3
        )[1]
    except cv2.error:  # no convergence
        return None


def _agreement(small: np.ndarray, large: np.ndarray, warp: np.ndarray) -> float:
    """Correlation of the fine structure under a map; -1 where they share too little."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(large, warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones_like(large), warp, (SIDE, SIDE), flags=flags) > 0.99
    if inside.mean() < 0.5 or not 0.5 < _scale(warp) < 1.5:
        return -1.0
    a, b = _fine(small, 4), _fine(moved, 4)
    if min(a[inside].std(), b[inside].std()) < FLAT:
        return -1.0
    a, b = (each - each.mean() for each in (_evened(a)[inside], _evened(b)[inside]))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _likeness(found: tuple[float, np.ndarray]) -> float:
    return found[0]


def _scale(warp: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))


def _evened(fine: np.ndarray) -> np.ndarray:
    """Structure over its own strength nearby: else the rim of a dermatoscope outweighs the skin."""
    return fine / (np.sqrt(cv2.GaussianBlur(fine**2, (0, 0), 6)) + FAINT)
