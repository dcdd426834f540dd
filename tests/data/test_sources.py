"""Each source: rows, groups, class order and attributes, and one sentence where data is absent."""

import pytest
from PIL import Image

from dermasense.data.catalog import NAMED, NEAR_DUPLICATES, NONE_KNOWN, SOME_KNOWN, check
from dermasense.data.class_map import map_classes
from dermasense.data.sources import csv, fitzpatrick21, folder, ham10000, isic2018
from dermasense.errors import DermaSenseError

HAM_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)


def ham_table(root, ids):
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    lines += [f"L{i},{name},nv,histo,,unknown,unknown" for i, name in enumerate(ids)]
    root.mkdir(exist_ok=True)
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ham10000, ["dermasense.prepare data=ham10000", "10.7910/DVN/DBW86T", "metadata.csv"]),
        (fitzpatrick21, ["dermasense.prepare data=fitzpatrick21", "bttai-ajl-2025", "train.csv"]),
        (isic2018, ["dermasense.prepare data=isic2018", "10.7910/DVN/DBW86T", "labels.csv"]),
        (folder, ["<class>"]),
        (csv, ["labels.csv", "data.file="]),
    ],
)
def test_a_missing_root_says_how_to_get_it_and_what_to_type(source, words, tmp_path):
    with pytest.raises(DermaSenseError) as caught:
        source.catalog(str(tmp_path / "absent"))
    for word in [*words, "data.root=<folder", str(tmp_path / "absent")]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ham10000_is_10015_images_of_7470_lesions(real_data):
    catalog = ham10000.catalog(str(real_data("ham10000")))
    frame = catalog.frame
    assert len(frame) == 10_015 and frame["group"].nunique() == 7_470
    assert catalog.class_names == HAM_CLASSES
    counts = frame["label"].value_counts()
    assert [counts[c] for c in HAM_CLASSES] == [327, 514, 1099, 115, 1113, 6705, 142]
    assert catalog.attributes == ("sex", "age", "localization")
    assert "dx_type" not in frame.columns  # a leak: lesions that look malignant are biopsied
    assert frame["sex"].isna().sum() == 57 and set(frame["sex"].dropna()) == {"male", "female"}
    assert frame["age"].isna().sum() == 57 and frame["localization"].isna().sum() == 234
    assert frame["origin"].iloc[0] == "HAM10000_metadata.csv row 2"
    assert check(catalog, splits=3) == []


def test_ham10000_in_the_two_part_folders(tmp_path):
    ham_table(tmp_path, ["a", "b", "c"])
    picture(tmp_path / "HAM10000_images_part_1" / "a.jpg")
    picture(tmp_path / "HAM10000_images_part_2" / "b.jpg")
    catalog = ham10000.catalog(str(tmp_path))
    problems = [p for p in check(catalog) if "no such file" in p]
    assert len(problems) == 1 and "row 4" in problems[0] and "images/c.jpg" in problems[0]


def test_relative_roots_give_absolute_paths(tmp_path, monkeypatch):
    ham_table(tmp_path / "ham", ["a"])
    picture(tmp_path / "ham" / "images" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    catalog = ham10000.catalog("ham")
    assert catalog.frame["path"][0] == str(tmp_path / "ham" / "images" / "a.jpg")


def test_isic2018_is_for_evaluation_in_the_order_of_ham10000(real_data):
    catalog = isic2018.catalog(str(real_data("isic2018_external")))
    assert len(catalog.frame) == 752 and catalog.evaluation_only and catalog.note
    assert catalog.class_names == HAM_CLASSES
    assert check(catalog, splits=3) == []


def test_fitzpatrick21_rows_skin_types_and_clusters(real_data, monkeypatch):
    # The clusters themselves are tested in test_duplicates.py.
    monkeypatch.setattr(fitzpatrick21, "near_duplicates", lambda paths, _: [0, 0, *range(2, 2860)])
    catalog = fitzpatrick21.catalog(str(real_data("fitzpatrick21")))
    frame = catalog.frame
    assert len(frame) == 2_860 and len(catalog.class_names) == 21
    assert catalog.class_names == tuple(sorted(set(frame["label"])))
    assert frame["skin_type"].isna().sum() == 108
    assert frame["skin_type"].value_counts().sort_index().tolist() == [528, 964, 562, 393, 216, 89]
    assert frame["skin_type_centaur"].isna().sum() == 161
    assert frame["qc"].notna().sum() == 90
    assert frame["group"].nunique() == 2_859 and catalog.groups_are == NEAR_DUPLICATES
    assert frame["group"][0] == frame["group"][1] == min(frame["image_id"][:2])
    assert check(catalog, splits=3) == []


@pytest.fixture
def tree(tmp_path):
    for i, name in enumerate(["nevus/a.jpg", "nevus/lesion1/b.jpg", "nevus/lesion1/c.png"]):
        picture(tmp_path / name, i)
    picture(tmp_path / "melanoma" / "a.jpg")
    for name in ("nevus/.DS_Store", "nevus/Thumbs.db", "melanoma/notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_folder_takes_a_class_from_each_folder(tree):
    catalog = folder.catalog(str(tree))
    assert catalog.class_names == ("melanoma", "nevus")
    ids = ["melanoma/a.jpg", "nevus/a.jpg", "nevus/lesion1/b.jpg", "nevus/lesion1/c.png"]
    assert catalog.frame["image_id"].tolist() == catalog.frame["origin"].tolist() == ids
    assert catalog.frame["label"].tolist() == ["melanoma", "nevus", "nevus", "nevus"]
    assert check(catalog) == []
    assert catalog.frame["group"].is_unique and "no lesion groups" in catalog.note


def test_folder_groups_by_sub_folder(tree):
    catalog = folder.catalog(str(tree), group="folder")
    groups = catalog.frame["group"].tolist()
    assert groups == ["melanoma/a.jpg", "nevus/a.jpg", "nevus/lesion1", "nevus/lesion1"]
    assert catalog.note == ""


def test_folders_inside_a_lesions_folder_part_nothing(tmp_path):
    for name in ("nevus/lesion7/visit1/a.jpg", "nevus/lesion7/visit2/b.jpg", "nevus/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    groups = folder.catalog(str(tmp_path), group="folder").frame.set_index("image_id")["group"]
    assert groups["nevus/lesion7/visit1/a.jpg"] == groups["nevus/lesion7/visit2/b.jpg"]
    assert set(groups) == {"nevus/lesion7", "nevus/c.jpg"}


def test_folder_groups_by_near_duplicates(tree, monkeypatch):
    monkeypatch.setattr(folder, "near_duplicates", lambda paths, _: [0, 1, 1, 3])
    groups = folder.catalog(str(tree), group="duplicates").frame["group"].tolist()
    assert groups == ["melanoma/a.jpg", "nevus/a.jpg", "nevus/a.jpg", "nevus/lesion1/c.png"]


def test_folder_keeps_a_picture_of_unknown_kind_to_be_reported(tree):
    (tree / "nevus" / "phone.heic").touch()
    assert "nevus/phone.heic" in folder.catalog(str(tree)).frame["image_id"].tolist()


def test_folder_takes_the_order_of_classes_as_given_and_reports_others(tree):
    catalog = folder.catalog(str(tree), class_names=["nevus", "melanom"])
    assert catalog.class_names == ("nevus", "melanom")
    problems = check(catalog)
    assert any("unknown label 'melanoma'; did you mean 'melanom'?" in p for p in problems)
    assert any("class 'melanom': no images" in p for p in problems)


def test_folder_with_an_empty_class_is_reported(tree):
    (tree / "wart").mkdir()
    assert "class 'wart': no images" in check(folder.catalog(str(tree)))[0]


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [(True, {"group": "folders"}, "did you mean 'folder'"), (False, {}, "holds no folders")],
)
def test_folder_mistakes_are_one_sentence(tmp_path, make, options, words):
    if make:
        (tmp_path / "class").mkdir()
    with pytest.raises(DermaSenseError, match=words):
        folder.catalog(str(tmp_path), **options)


def test_a_folder_says_what_its_groups_are(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "near_duplicates", lambda paths, _: [0, 1, 1, 3])
    found = {kind: folder.catalog(str(tree), group=kind).groups_are for kind in folder.GROUPS}
    assert found == {"image": NONE_KNOWN, "folder": SOME_KNOWN, "duplicates": NEAR_DUPLICATES}
    for path in (tree / "nevus" / "a.jpg", tree / "melanoma" / "a.jpg"):
        (path.parent / "lesion2").mkdir()
        path.rename(path.parent / "lesion2" / path.name)
    assert folder.catalog(str(tree), group="folder").groups_are == NAMED


@pytest.mark.parametrize(
    ("column", "groups_are", "note"),
    [
        ("group,l1,l1", NAMED, ""),
        ("group,l1,", SOME_KNOWN, ""),
        ("group,,unknown", NONE_KNOWN, "no lesion groups given"),
        ("other,x,y", NONE_KNOWN, "no lesion groups given"),
    ],
)
def test_a_table_says_whether_it_names_groups(tmp_path, column, groups_are, note):
    rows = zip(("path", "a.png", "b.png"), ("label", "x", "y"), column.split(","), strict=True)
    (tmp_path / "labels.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    catalog = csv.catalog(str(tmp_path))
    assert catalog.groups_are == groups_are and catalog.note.startswith(note)
    assert bool(catalog.note) == bool(note)


@pytest.fixture
def table(tmp_path):
    for name in ("a.jpg", "sub/b.jpg"):
        picture(tmp_path / name)
    (tmp_path / "labels.csv").write_text(
        "path,label,patient,age,sex\n"
        f"a.jpg,10,p1,40,female\n{tmp_path}/sub/b.jpg,2,p1,unknown,unknown\n,2,,,male\n"
    )
    return tmp_path


def test_csv_paths_groups_and_attributes(table):
    columns = {"group": "patient"}
    catalog = csv.catalog(str(table), columns=columns, attributes=["age", "sex"])
    frame = catalog.frame
    assert frame["path"].tolist() == [str(table / "a.jpg"), str(table / "sub" / "b.jpg"), ""]
    assert frame["group"].tolist()[:2] == ["p1", "p1"] and frame["group"][2] != "p1"
    assert catalog.class_names == ("10", "2")  # sorted as text; stored once, never sorted again
    assert frame["age"].dtype == float and frame["age"].isna().tolist() == [False, True, True]
    assert frame["sex"].isna().tolist() == [False, True, False]
    assert catalog.attributes == ("age", "sex") and catalog.note == ""
    assert "labels.csv row 4: no path" in check(catalog)[0]


def test_what_r_writes_for_nothing_is_no_class(tmp_path):
    for name in "abcd":
        picture(tmp_path / f"{name}.jpg")
    rows = "a.jpg,nv,p1\nb.jpg,NA,NA\nc.jpg,NA,NA\nd.jpg,,p2\n"
    (tmp_path / "labels.csv").write_text(f"path,label,group\n{rows}")
    catalog = csv.catalog(str(tmp_path))
    assert catalog.class_names == ("nv",) and catalog.frame["group"][1] != "NA"
    assert check(catalog) == [
        "labels.csv row 5: no label; fill it in or remove the row",
        "labels.csv row 3: no label ('NA' counts as none; 2 such rows); fill it in, or leave these "
        "rows out by 'data.map={NA: null}'",
    ]


def test_a_word_for_nothing_is_left_out_or_made_a_class_by_a_map(tmp_path):
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,nv\nb.jpg,NA\n")
    catalog = csv.catalog(str(tmp_path))
    left = map_classes(catalog, {"NA": None})
    assert check(left) == [] and "left out by data.map: 'NA' (1 images)" in left.note
    named = map_classes(catalog, {"NA": "normal", "nv": "nevus"})
    assert check(named) == [] and named.class_names == ("nevus", "normal")
    assert map_classes(catalog, {"NA": "nv"}).class_names == ("nv",)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["83,0", "41,25", "NA"], [83.0, 41.25]),
        (["83,0", "41", ""], [83.0, 41.0]),
        (["0,125", "0,250"], [0.125, 0.25]),
        (["1,250", "0,125"], [1.25, 0.125]),
        (["1250,125"], [1250.125]),
        (["1,234", "1,500", "2"], None),  # thousands, perhaps
        (["83,0", "41.5", "7"], None),
        (["83,0", "80-85", "7"], None),
    ],
)
def test_decimal_commas_are_numbers_where_all_values_fit(tmp_path, values, numbers):
    rows = [f'{i}.jpg;nv;"{value}"' for i, value in enumerate(values)]
    (tmp_path / "labels.csv").write_text("\n".join(["path;label;age", *rows]))
    age = csv.catalog(str(tmp_path), attributes=["age"]).frame["age"].dropna().tolist()
    assert age == (numbers or values)


def test_commas_that_may_mean_thousands_are_told(tmp_path, caplog):
    (tmp_path / "labels.csv").write_text('path,label,um\na,nv,7\nb,nv,"1,250"\nc,nv,"2,500"\n')
    csv.catalog(str(tmp_path), attributes=["um"])
    assert [record.getMessage() for record in caplog.records] == [
        "labels.csv row 3: '1,250' may mean thousands or a decimal, so the column um is text; "
        "write 1250 or 1.250 throughout"
    ]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("85+", "labels.csv row 4: '85+' is no number, so the column age is text (1 such values of "
         "6); mend them, or leave the cells empty"),
        ("70", None),
    ],
)  # fmt: skip
def test_the_value_that_makes_a_column_of_numbers_text_is_named(tmp_path, caplog, odd, words):
    rows = [f"{i}.jpg,nv,{age},{sex}" for i, (age, sex) in enumerate(
        zip(["40", "NA", odd, "50", "60", "65", "70"], "fmfmfm1", strict=True))]  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,age,sex", *rows]))
    csv.catalog(str(tmp_path), attributes=["age", "sex"])
    assert [record.getMessage() for record in caplog.records] == ([words] if words else [])


def test_csv_takes_columns_called_group_and_image_id_where_there_are_any(table):
    text = (table / "labels.csv").read_text().replace("patient", "group").replace("sex", "image_id")
    (table / "labels.csv").write_text(text)
    catalog = csv.catalog(str(table))
    assert catalog.frame["group"].tolist()[:2] == ["p1", "p1"]
    assert catalog.frame["image_id"].tolist() == ["female", "unknown", "male"]


def test_csv_without_groups_says_so(table):
    catalog = csv.catalog(str(table))
    assert "no lesion groups" in catalog.note and catalog.frame["group"].is_unique


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"label": "lable"}}, "no column 'lable'; did you mean 'label'"),
        ({"columns": {"grup": "patient"}}, "data.columns.grup is unknown; did you mean 'group'"),
        ({"attributes": ["aeg"]}, "no column 'aeg'; did you mean 'age'"),
        ({"attributes": ["label"]}, "rename that column"),
        ({"file": "other.csv"}, "other.csv does not exist"),
    ],
)
def test_csv_mistakes_are_one_sentence(table, options, words):
    with pytest.raises(DermaSenseError, match=words):
        csv.catalog(str(table), **options)


def test_csv_rows_in_another_order_give_the_same_classes(table):
    head, *rows = (table / "labels.csv").read_text().splitlines()
    (table / "other.csv").write_text("\n".join([head, *rows[::-1]]))
    other = csv.catalog(str(table), file="other.csv")
    assert other.class_names == csv.catalog(str(table)).class_names
