"""Draws docs/synthetic.png: one lesion of each synthetic class on each of the six skin types.

python benchmarks/pictures.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from dermasense.data.sources import synthetic

SIDE = (128, 96)


def main() -> None:
    """Writes the sheet; every picture in it is drawn by a program."""
    catalog = synthetic.catalog("outputs/cache/synthetic")
    frame = catalog.frame[~catalog.frame["hairs"] | (catalog.frame["image_id"].str[-1] == "0")]
    rows = []
    for label in catalog.class_names:
        row = []
        for tone in range(1, 7):
            of_class = frame[frame["label"] == label]
            nearest = (of_class["skin_type"] - tone).abs().idxmin()
            image = Image.open(of_class.loc[nearest, "path"])
            row.append(np.asarray(image.convert("RGB").resize(SIDE)))
        rows.append(np.concatenate(row))
    sheet = Image.fromarray(np.concatenate(rows, axis=1))
    path = Path("docs/synthetic.png")
    path.parent.mkdir(exist_ok=True)
    sheet.quantize(200).save(path, optimize=True)
    print(f"{path}: {sheet.size[0]}x{sheet.size[1]}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
