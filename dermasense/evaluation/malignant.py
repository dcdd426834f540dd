"""The malignant group of classes, by the names that the data sets use."""

import re
from collections.abc import Sequence

import numpy as np

# HAM10000, ISIC, PAD-UFES-20, DDI; then Fitzpatrick17k, where its publishers' three_partition_label
# says malignant. Actinic keratosis is among them in all, as akiec is in ISIC's.
KNOWN = frozenset(
    {
        "mel",
        "bcc",
        "akiec",
        "ak",
        "ack",
        "scc",
        "malignant",
        "actinic-keratosis",
        "basal-cell-carcinoma",
        "basal-cell-carcinoma-morpheiform",
        "kaposi-sarcoma",
        "lentigo-maligna",
        "malignant-melanoma",
        "melanoma",
        "mycosis-fungoides",
        "solid-cystic-basal-cell-carcinoma",
        "squamous-cell-carcinoma",
        "superficial-spreading-melanoma-ssm",
    }
)


def malignant_classes(class_names: Sequence[str]) -> list[str]:
    """Those of the classes that are malignant or about to be; [] where none is known to be.

    Case is passed over, and whether words are joined by spaces, hyphens or underscores.
    """
    return [name for name in class_names if re.sub(r"[\s_]+", "-", str(name).lower()) in KNOWN]


def malignant_mask(
    class_names: Sequence[str], malignant: Sequence[str] | None = None
) -> np.ndarray:
    """Which classes are malignant, bool (C,): those named, or where none are, those known."""
    chosen = malignant_classes(class_names) if malignant is None else malignant
    return np.isin(class_names, list(chosen))
