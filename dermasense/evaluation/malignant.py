"""The malignant group of classes, by the names that the data sets use."""

from collections.abc import Sequence

# HAM10000 and ISIC; then fitzpatrick21, where its publishers' three_partition_label says malignant
# (actinic keratosis among them, as akiec is in ISIC's).
KNOWN = frozenset(
    {
        "mel",
        "bcc",
        "akiec",
        "scc",
        "actinic-keratosis",
        "basal-cell-carcinoma",
        "basal-cell-carcinoma-morpheiform",
        "kaposi-sarcoma",
        "malignant-melanoma",
        "melanoma",
        "mycosis-fungoides",
        "squamous-cell-carcinoma",
        "superficial-spreading-melanoma-ssm",
    }
)


def malignant_classes(class_names: Sequence[str]) -> list[str]:
    """Those of the classes that are malignant or about to be; [] where none is known to be."""
    return [name for name in class_names if str(name).lower() in KNOWN]
