"""The folders that the commands of docs/data.md name, filled with noise."""

import csv
from itertools import count
from pathlib import Path

from tests.fakes import noise

CLASSES = ("melanoma", "nevus")
SITES = ("east", "north", "south")


def write(path: Path, rows: list[list], **options) -> Path:
    """A CSV of these rows, the first one its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, **options).writerows(rows)
    return path


def lay_out(root: Path) -> Path:
    """photos/, photos_splits.csv, names.csv, clinic/, hospital/, isic/ and parted/ in `root`."""
    seeds = count()
    splits = [["image_id", "split"]]
    clinic = [["file", "dx", "patient", "part", "site", "age", "sex"]]
    hospital = [["path", "label", "group"]]
    truth = [["image", "MEL", "NV", "UNK"]]
    facts = [["image", "age_approx", "lesion_id", "sex"]]
    for code, label in enumerate(CLASSES):
        for i in range(12):
            part = ("train", "train", "valid", "test")[i % 4]
            lesion = f"{label}/lesion{i // 2}/{i}.png"
            noise(root / "photos" / lesion, next(seeds))
            splits.append([lesion, ("train", "val", "test")[i // 2 % 3]])
            noise(root / "parted" / part / label / f"{i}.png", next(seeds))
            noise(root / "clinic" / f"{label}{i}.jpg", next(seeds))
            place = ("training", "val", "test")[i // 2 % 3]
            patient = f"{label}{i // 2}"
            clinic.append(
                [f"{label}{i}.jpg", label, patient, place, SITES[i // 2 % 3], 40 + i, "male"]
            )
            noise(root / "isic" / "ISIC_2019_Training_Input" / f"ISIC_{label}{i}.jpg", next(seeds))
            truth.append([f"ISIC_{label}{i}", *[f"{float(code == c)}" for c in range(2)], "0.0"])
            facts.append([f"ISIC_{label}{i}", 50, f"BCN_{label}{i // 2}", "female"])
            if i < 5:
                noise(root / "hospital" / f"{label}{i}.png", next(seeds))
                hospital.append([f"{label}{i}.png", ("mel", "nv")[code], f"h{label}{i}"])
    write(root / "photos_splits.csv", splits)
    write(root / "names.csv", [["label", "class"], ["melanoma", "mel"], ["nevus", "Nävus"]])
    write(root / "clinic" / "photos.csv", clinic)
    write(root / "hospital" / "labels.csv", hospital)
    write(root / "isic" / "ISIC_2019_Training_GroundTruth.csv", truth)
    write(root / "isic" / "ISIC_2019_Training_Metadata.csv", facts)
    return root
