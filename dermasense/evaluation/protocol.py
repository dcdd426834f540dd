"""How a split was made, in the words that are shown beside its numbers."""

GROUPED = "grouped"
BY_IMAGE = "by image (no lesion groups known)"
LEAKY = "leaky (image-level split)"


def is_leaky(protocol: str) -> bool:
    """Whether images of one lesion may stand on both sides: of `LEAKY`, and of its like in other
    words ("leaky (image-level split), out-of-fold"); "" is a split of which nothing is known."""
    return protocol.startswith("leaky")
