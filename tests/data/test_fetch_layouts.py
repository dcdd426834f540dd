"""The layouts that people have the public data sets in, and what is refused."""

import csv
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermasense.data.catalog import check
from dermasense.data.fetch import assemble, data_set
from dermasense.data.sources import csv as csv_source
from dermasense.data.sources import fitzpatrick21, ham10000, isic2018
from dermasense.errors import DermaSenseError


def left(folder):
    return sorted(path.name for path in folder.iterdir())


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


def prepare(name: str, place: Path, root: Path) -> assemble.Prepared:
    return assemble.assemble(data_set(name), place, root)


@pytest.mark.parametrize("layout", [kaggle, dataverse, challenge])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_ham10000_reads_the_same_from_every_layout(tmp_path, layout, packed):
    place = in_folder(tmp_path / "mine", layout())
    if packed:
        place = tmp_path / "archive.zip"
        place.write_bytes(zipped(layout()))
    prepared = prepare("ham10000", place, tmp_path / "root")
    assert prepared.images == 14 and prepared.groups == 7
    assert prepared.classes == dict.fromkeys(ham10000.CLASS_NAMES, 2)
    catalog = ham10000.catalog(str(tmp_path / "root"))
    assert check(catalog) == []
    frame = catalog.frame
    assert list(frame["group"]) == [row["lesion_id"] for row in HAM]
    assert list(frame["label"]) == [row["dx"] for row in HAM]
    assert all(Path(p).read_bytes() == PICTURES[Path(p).name] for p in frame["path"])
    assert left(tmp_path / "root") == ["HAM10000_metadata.csv", "images", "prepared.json"]


def test_pictures_of_a_folder_are_linked_not_copied(tmp_path):
    place = in_folder(tmp_path / "mine", kaggle())
    prepare("ham10000", place, tmp_path / "root")
    name = HAM[0]["image_id"] + ".jpg"
    assert os.path.samefile(
        place / "HAM10000_images_part_1" / name, tmp_path / "root" / "images" / name
    )


def test_isic2018_leaves_out_the_row_that_no_release_has_an_image_for(tmp_path):
    rows = [*HAM, {**HAM[0], "image_id": "ISIC_0035068"}]
    for number, table in enumerate((text(rows, "\t"), truth(rows, CODES))):
        files = {
            "ISIC2018_Task3_Test_Images.zip": zipped(under("ISIC2018_Task3_Test_Images", PICTURES)),
            f"ISIC2018_Task3_Test_GroundTruth{('.tab', '.csv')[number]}": table,
        }
        root = tmp_path / f"root{number}"
        prepared = prepare("isic2018", in_folder(tmp_path / f"mine{number}", files), root)
        assert prepared.images == 14 and "ISIC_0035068" in prepared.left_out[0]
        catalog = isic2018.catalog(str(root))
        assert check(catalog) == [] and catalog.evaluation_only
        assert list(catalog.frame["label"]) == [row["dx"] for row in HAM]


def test_training_images_are_never_taken_for_the_test_set(tmp_path):
    place = in_folder(tmp_path / "mine", kaggle())
    with pytest.raises(DermaSenseError, match="holds no ISIC2018_Task3_Test_GroundTruth"):
        prepare("isic2018", place, tmp_path / "root")


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


def test_fitzpatrick21_from_kaggles_challenge(tmp_path):
    rows = [{**row, "label": row["label"].replace(" ", "-")} for row in FITZ[:-1]]
    files = {"train.csv": text(rows), "test.csv": text([{"md5hash": "x"}])}
    files |= {f"train/train/{r['label']}/{r['md5hash']}.jpg": jpeg(i) for i, r in enumerate(rows)}
    (tmp_path / "bttai-ajl-2025.zip").write_bytes(zipped(files))
    prepared = prepare("fitzpatrick21", tmp_path / "bttai-ajl-2025.zip", tmp_path / "root")
    assert prepared.images == 21 and not prepared.left_out
    catalog = fitzpatrick21.catalog(str(tmp_path / "root"), cache_dir=str(tmp_path / "cache"))
    assert check(catalog) == [] and catalog.frame["skin_type"].isna().sum() == 3


def test_fitzpatrick21_cut_from_fitzpatrick17k_says_that_it_is_another_set(tmp_path):
    files = {"fitzpatrick17k.csv": text(FITZ), **under("data/finalfitz17k", FITZ_PICTURES)}
    files["data/finalfitz17k/" + FITZ[3]["md5hash"] + ".jpg"] = b"<html>gone</html>"
    prepared = prepare("fitzpatrick21", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert prepared.images == 20 and "lupus" not in prepared.classes
    said = " ".join(prepared.left_out)
    assert "hidden test set" in said and "1 files are no pictures" in said
    table = (tmp_path / "root" / "train.csv").read_text()
    assert "malignant-epidermal" in table and FITZ[3]["md5hash"] not in table


def read_csv_set(root: Path, attributes=()):
    catalog = csv_source.catalog(str(root), attributes=attributes)
    assert check(catalog) == []
    return catalog


def test_fitzpatrick17k_counts_the_images_that_are_gone(tmp_path):
    files = {"fitzpatrick17k.csv": text(FITZ), **under("images", FITZ_PICTURES)}
    del files[f"images/{FITZ[0]['md5hash']}.jpg"]
    prepared = prepare("fitzpatrick17k", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert prepared.images == 21 and prepared.groups is None
    assert prepared.left_out[0].startswith("1 of 22 rows have no image here")
    catalog = read_csv_set(tmp_path / "root", ["skin_type"])
    assert catalog.note and catalog.frame["skin_type"].max() == 6
    assert "squamous cell carcinoma" in catalog.class_names


def test_fitzpatrick17k_without_any_image_says_how_to_ask_for_them(tmp_path):
    place = in_folder(tmp_path / "mine", {"fitzpatrick17k.csv": text(FITZ)})
    with pytest.raises(DermaSenseError, match=r"22 of the 22 images .* https://forms\.gle/"):
        prepare("fitzpatrick17k", place, tmp_path / "root")


def test_pad_ufes_20_is_a_zip_of_zips_grouped_by_patient(tmp_path):
    rows = [
        {
            "patient_id": f"PAT_{i // 2}",
            "lesion_id": str(i),
            "age": "8",
            "gender": "FEMALE" if i else "",
            "fitspatrick": "3.0",
            "region": "NECK",
            "diagnostic": "BCC",
            "img_id": f"PAT_{i // 2}_{i}.png",
            "biopsed": "True",
        }
        for i in range(4)
    ]
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, format="PNG")
    inner = [
        zipped({f"imgs_part_{n}/{row['img_id']}": out.getvalue() for row in half})
        for n, half in ((1, rows[:2]), (2, rows[2:]))
    ]
    place = tmp_path / "zr7vgbcyr2-1.zip"
    place.write_bytes(
        zipped(
            {
                "metadata.csv": text(rows),
                "images/imgs_part_1.zip": inner[0],
                "images/imgs_part_2.zip": inner[1],
            }
        )
    )
    prepared = prepare("pad_ufes_20", place, tmp_path / "root")
    assert prepared.images == 4 and prepared.groups == 2
    catalog = read_csv_set(tmp_path / "root", ["sex", "skin_type", "age"])
    assert list(catalog.frame["group"]) == ["PAT_0", "PAT_0", "PAT_1", "PAT_1"]
    assert list(catalog.frame["sex"].isna()) == [True, False, False, False]
    assert left(tmp_path / "root") == ["images", "labels.csv", "prepared.json"]


def test_isic2019_groups_by_lesion_and_leaves_images_without_one_alone(tmp_path):
    codes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
    rows = [{"image_id": f"ISIC_{i}_downsampled", "dx": "scc"} for i in range(4)]
    facts = [
        {
            "image": row["image_id"],
            "age_approx": "50",
            "anatom_site_general": "",
            "lesion_id": ("L1", "L1", "", "")[i],
            "sex": "male",
        }
        for i, row in enumerate(rows)
    ]
    files = {
        "ISIC_2019_Training_GroundTruth.csv": truth(rows, codes),
        "ISIC_2019_Training_Metadata.csv": text(facts),
        "ISIC_2019_Training_Input.zip": zipped(
            {f"ISIC_2019_Training_Input/{row['image_id']}.jpg": jpeg() for row in rows}
        ),
    }
    prepared = prepare("isic2019", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert prepared.groups == 3 and prepared.classes == {"scc": 4}
    assert read_csv_set(tmp_path / "root").frame["group"].nunique() == 3


def test_ddi_is_read_as_malignant_or_benign(tmp_path):
    rows = [
        {
            "": str(i),
            "DDI_ID": str(i),
            "DDI_file": f"00000{i}.png",
            "skin_tone": "56",
            "malignant": str(i == 1),
            "disease": "melanoma",
        }
        for i in range(3)
    ]
    files = {f"ddi/{row['DDI_file']}": b"\x89PNG..." for row in rows}
    files["ddi/ddi_metadata.csv"] = text(rows)
    prepared = prepare("ddi", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert prepared.classes == {"benign": 2, "malignant": 1}
    assert list(read_csv_set(tmp_path / "root", ["skin_tone"]).frame["skin_tone"]) == [56] * 3


def without(files: dict[str, bytes], word: str) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if word not in name}


def with_bytes(name: str, body: bytes) -> dict[str, bytes]:
    return {**kaggle(), name: body}


PART_1 = "HAM10000_images_part_1/" + HAM[0]["image_id"] + ".jpg"
WRONG_LABEL = text([*HAM[:-1], {**HAM[-1], "dx": "melanoma"}])
BAD_ZIP = zipped(FIRST)[:-30]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (without(kaggle(), "art_2"), "7 of the 14 images .* are not there .* holds both"),
        (without(kaggle(), "metadata"), "holds neither HAM10000_metadata"),
        (without(challenge(), "Groupings"), "without which images of one lesion would stand"),
        (with_bytes("HAM10000_metadata.csv", WRONG_LABEL), "row 15: dx is 'melanoma'"),
        (with_bytes("HAM10000_metadata.csv", text(HAM + HAM[:1])), "names the image .* twice"),
        (with_bytes("HAM10000_metadata.csv", text(HAM) + b"a,b\n"), "row 16: has 2 cells"),
        (with_bytes("HAM10000_metadata.csv", text(HAM)[:-9] + b"\xe9\n"), "is not UTF-8 text"),
        (with_bytes("old/HAM10000_metadata.csv", text(HAM[:3])), "could each be the table"),
        (with_bytes("small/" + HAM[0]["image_id"] + ".jpg", jpeg(99)[:-1]), "two different pict"),
        (without(with_bytes(PART_1, b"<html>"), "ham10000_"), "is no picture"),
        (with_bytes("more.zip", BAD_ZIP), r"more\.zip is damaged"),
        (with_bytes("more.zip", zipped({"../../evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"/etc/evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"C:\\evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"a\\..\\..\\evil.jpg": jpeg()})), "leads outside of it"),
        ({}, "holds neither"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence_and_writes_nothing(tmp_path, files, sentence):
    (tmp_path / "mine").mkdir()
    place = in_folder(tmp_path / "mine", files)
    with pytest.raises(DermaSenseError, match=sentence) as failure:
        prepare("ham10000", place, tmp_path / "root")
    assert "\n" not in str(failure.value)
    root = tmp_path / "root"
    assert not root.exists() or left(root) == []
    assert left(tmp_path) in (["mine"], ["mine", "root"])


def test_a_wrong_byte_inside_a_zip_is_noticed_and_nothing_is_written(tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        for name, body in FIRST.items():
            archive.writestr(name, body)
    raw = bytearray(stored.getvalue())
    at = raw.index(list(FIRST.values())[3]) + 200
    raw[at] ^= 0xFF
    files = dataverse() | {"HAM10000_images_part_1.zip": bytes(raw)}
    with pytest.raises(DermaSenseError, match="is damaged"):
        prepare("ham10000", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert left(tmp_path / "root") == []


def test_a_one_hot_row_with_two_classes_is_named(tmp_path):
    files = challenge()
    name = next(n for n in files if n.endswith("Training_GroundTruth.csv"))
    files[name] = files[name].replace(b"1.0,0.0", b"1.0,1.0", 1)
    with pytest.raises(DermaSenseError, match="row 2: 2 of the columns"):
        prepare("ham10000", in_folder(tmp_path / "mine", files), tmp_path / "root")


def test_no_room_is_said_before_anything_is_unpacked(tmp_path, monkeypatch):
    place = in_folder(tmp_path / "mine", dataverse())
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(assemble.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DermaSenseError, match="GB free"):
        prepare("ham10000", place, tmp_path / "root")


def test_what_is_there_is_counted_and_what_is_gone_from_it_noticed(tmp_path):
    ham, root = data_set("ham10000"), tmp_path / "root"
    assert assemble.already_there(ham, root) is None
    prepare("ham10000", in_folder(tmp_path / "mine", kaggle()), root)
    assert assemble.already_there(ham, root) == 14
    with pytest.raises(DermaSenseError, match="holds ham10000 already"):
        assemble.already_there(data_set("ddi"), root)
    (root / "images" / f"{HAM[0]['image_id']}.jpg").unlink()
    with pytest.raises(DermaSenseError, match="14 images and now holds 13"):
        assemble.already_there(ham, root)
    (root / "prepared.json").write_text("{")
    with pytest.raises(DermaSenseError, match="is damaged"):
        assemble.already_there(ham, root)
    (tmp_path / "own" / "images").mkdir(parents=True)
    with pytest.raises(DermaSenseError, match="read it as it is"):
        assemble.already_there(ham, tmp_path / "own")
