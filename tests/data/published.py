"""The public data sets in the layouts that people have them in, with pictures of noise."""

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from dermasense.data.fetch import assemble, data_set
from dermasense.data.sources import fitzpatrick21, ham10000


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="JPEG")
    return out.getvalue()


def text(rows: list[dict], delimiter=",", mark=False) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig" if mark else "utf-8")


def in_folder(place: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(body)
    return place


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


HAM = [
    {
        "lesion_id": f"HAM_{i // 2}",
        "image_id": f"ISIC_{i:07d}",
        "dx": label,
        "dx_type": "histo",
        "age": "50.0",
        "sex": "male",
        "localization": "back",
    }
    for i, label in enumerate(name for name in ham10000.CLASS_NAMES for _ in range(2))
]
PICTURES = {f"{row['image_id']}.jpg": jpeg(i) for i, row in enumerate(HAM)}
FIRST = dict(list(PICTURES.items())[:7])
SECOND = dict(list(PICTURES.items())[7:])


def under(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": body for name, body in files.items()}


def kaggle() -> dict[str, bytes]:
    """As Kaggle has it: two parts, each twice, and tables of pixels."""
    parts = under("HAM10000_images_part_1", FIRST) | under("HAM10000_images_part_2", SECOND)
    again = {name.lower().replace("isic_", "ISIC_"): body for name, body in parts.items()}
    tables = {"HAM10000_metadata.csv": text(HAM), "hmnist_28_28_L.csv": b"pixel0,label\n1,2\n"}
    return parts | again | tables


def dataverse() -> dict[str, bytes]:
    """As Dataverse has it: zips, its own table with tabs, and the test set beside them."""
    test = text([{**HAM[0], "image_id": "ISIC_9999999"}], "\t")
    return {
        "HAM10000_images_part_1.zip": zipped(FIRST),
        "HAM10000_images_part_2.zip": zipped(under("part2", SECOND)),
        "HAM10000_metadata.tab": text(HAM, "\t", mark=True),
        "HAM10000_segmentations_lesion_tschandl.zip": zipped(
            {f"{row['image_id']}_segmentation.png": b"\x89PNG" for row in HAM}
        ),
        "ISIC2018_Task3_Test_GroundTruth.tab": test,
    }


def truth(rows, codes, column="image_id", label="dx") -> bytes:
    hot = [
        {"image": r[column], **{c: "1.0" if c == r[label].upper() else "0.0" for c in codes}}
        for r in rows
    ]
    return text(hot)


CODES = [name.upper() for name in ham10000.CLASS_NAMES]


def challenge() -> dict[str, bytes]:
    lesions = [
        {"image": r["image_id"], "lesion_id": r["lesion_id"], "diagnosis_confirm_type": "histo"}
        for r in HAM
    ]
    folder = "ISIC2018_Task3_Training_GroundTruth/"
    return {
        **under("ISIC2018_Task3_Training_Input", PICTURES),
        "ISIC2018_Task3_Training_Input/ATTRIBUTION.txt": b"...",
        folder + "ISIC2018_Task3_Training_GroundTruth.csv": truth(HAM, CODES),
        "ISIC2018_Task3_Training_LesionGroupings.csv": text(lesions),
    }


FITZ = [
    {
        "md5hash": hashlib.md5(str(i).encode()).hexdigest(),
        "fitzpatrick_scale": str((i % 7) or -1),
        "fitzpatrick_centaur": "-1",
        "label": label,
        "nine_partition_label": "malignant epidermal",
        "three_partition_label": "malignant",
        "qc": "",
        "url": "http://x/y.jpg",
    }
    for i, label in enumerate([*(n.replace("-", " ") for n in fitzpatrick21.CLASS_NAMES), "lupus"])
]
FITZ_PICTURES = {f"{row['md5hash']}.jpg": jpeg(i) for i, row in enumerate(FITZ)}


def prepare(name: str, place: Path, root: Path) -> assemble.Prepared:
    return assemble.assemble(data_set(name), place, root)


def left(folder):
    return sorted(path.name for path in folder.iterdir())
