"""The layouts that people have the public data sets in, and what is refused."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from dermasense.data.catalog import check
from dermasense.data.sources import csv as csv_source
from dermasense.data.sources import fitzpatrick21, ham10000, isic2018
from dermasense.errors import DermaSenseError
from tests.data.published import (
    CODES,
    FITZ,
    FITZ_PICTURES,
    HAM,
    PICTURES,
    challenge,
    dataverse,
    in_folder,
    jpeg,
    kaggle,
    left,
    prepare,
    text,
    truth,
    under,
    zipped,
)


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
