"""How good the lesion segmentation is, on drawn lesions whose place is known."""

import numpy as np
from scipy.stats import t

from dermasense.data.lesion_mask import grown, lesion_mask
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.data.occlusions import MARGIN


def mask_quality(n: int = 200, image_px: int = 160, seed: int = 0) -> dict:
    """Intersection over union of found and true masks, one picture a lesion.

    Args:
        n: lesions. image_px: width of the pictures. seed: which lesions.

    Returns:
        n; iou {value, low, high}, its mean with a 95 % t-interval over lesions; iou_median;
        above_half, the share of IoUs above .5; covered {value, low, high}, how much of the lesion
        lies under the mask with the margin that the shortcut tests use.
    """
    ious, covered = [], []
    for person in draw_population(seed=seed, n_lesions=n):
        image, true = paint(person.lesion, person.views[0], image_px)
        found = lesion_mask(image).mask
        ious.append((found & true).sum() / max((found | true).sum(), 1))
        covered.append((grown(found, MARGIN) & true).sum() / max(true.sum(), 1))
    return {
        "n": n,
        "iou": _mean(ious),
        "iou_median": float(np.median(ious)),
        "above_half": float((np.array(ious) > 0.5).mean()),
        "covered": _mean(covered),
    }


def _mean(values: list[float]) -> dict:
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    reach = t.ppf(0.975, len(values) - 1) * error
    return {"value": mean, "low": max(mean - reach, 0.0), "high": min(mean + reach, 1.0)}
