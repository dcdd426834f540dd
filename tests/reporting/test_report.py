"""The report as a page: what it says, that it stands alone, that everybody can read it."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from dermasense.data.catalog import NAMED, NEAR_DUPLICATES, NONE_KNOWN, SOME_KNOWN
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.tables import read_tables
from dermasense.reporting.markup import el
from dermasense.reporting.page import write_figures
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.classes import _cell, _luminance
from dermasense.reporting.writing import evaluate
from tests.fakes import HAM_CLASSES, noise
from tests.reporting.run_on_disk import run_folder, table

FAST = {"resamples": 100}


def page(run, out, **options) -> str:
    options = {"images": False, **FAST, **options}
    return evaluate(read_tables([str(run.path)]), out, **options).report.read_text("utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return page(run_folder(folder / "run", note="only an exercise"), folder / "out")


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


class Outline(HTMLParser):
    """Open elements, and what a page asks for from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.asked, self.ids, self.links, self.images = [], [], [], [], []
        self.drawings = 0

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in ("meta", "img", "br", "wbr", "path", "circle", "rect", "polyline", "polygon"):
            self.open.append(tag)
        self.asked += [v for k, v in attrs if k in ("src", "srcset", "data", "xlink:href")]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag == "img":
            self.images.append(attributes.get("alt"))
        if tag == "svg":
            self.drawings += 1
            assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"

    def handle_endtag(self, tag):
        if tag not in ("path", "circle", "rect", "polyline", "polygon"):
            assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    assert parsed.open == []
    return parsed


def test_it_opens_with_what_was_trained_on_what(html):
    said = words(html)
    assert "tf_efficientnet_lite0 with the head linear, at 144 px" in said
    assert "trained on 70 images of 35 lesions of ham10000 in 7 classes" in said
    assert "judged on 120 images of 60 lesions" in said
    assert "grouped, so that no lesion stands in two parts" in said
    assert "not a medical device" in said and "Only an exercise" in said
    assert said.index("Top-1 accuracy") < said.index("Beside what it must beat")


def test_numbers_stand_beside_blind_answers_and_published_ones(html):
    said = words(html)
    assert "(blind)" in said and "stratified chance" in said
    assert "0.712 0.909" in said and "image-level split; pictures 600x450 px" in said


def test_it_stands_alone(html):
    parsed = outline(html)
    assert parsed.asked == [] and "<script" not in html and "@import" not in html
    assert all(link.startswith("#") for link in parsed.links)
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "url(" not in html
    assert len(html) < 500_000


def test_every_drawing_says_what_it_shows(html):
    drawings = re.findall(r"<svg xmlns.*?</svg>", html)
    assert len(drawings) == 2 * 7 + 3 + 2
    assert all(re.search(r"<title>.{10,}</title>", drawing) for drawing in drawings)


def test_every_part_is_there(html):
    for title in (
        "What is taken for what",
        "Each class",
        "Malignant or not",
        "ROC and precision-recall",
        "Can its confidence be believed",
        "If it may leave some to a person",
        "By group",
        "Worst mistakes",
        "Training",
        "Configuration",
    ):
        assert title in html, title
    assert "after temperature" in html and "image_size: 144" in html


def test_a_leaky_split_is_said_before_any_number(tmp_path):
    run = run_folder(tmp_path / "run", protocol="leaky (image-level split)")
    said = words(page(run, tmp_path / "out"))
    assert said.index("too high for a lesion it has not seen") < said.index("Top-1 accuracy")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (NEAR_DUPLICATES, "near-duplicate cluster"),
        (NAMED, "group"),
        (SOME_KNOWN, "group"),
        (NONE_KNOWN, "group"),
    ],
)
def test_groups_are_called_what_the_data_says_they_are(tmp_path, kind, word):
    run = run_folder(tmp_path / "run", groups_are=kind)
    said = words(page(run, tmp_path / "out"))
    card = (run.bundle / "MODEL_CARD.md").read_text()
    for text in (said, card):
        assert f"70 images of 35 {word}s" in text and f"120 images of 60 {word}s" in text
    assert f"so that no {word} stands in two parts" in said


def test_published_numbers_only_for_their_data_set(tmp_path):
    run = run_folder(tmp_path / "run", dataset="mine")
    assert "Published" not in page(run, tmp_path / "out")


def test_names_cannot_inject_markup(tmp_path):
    plain = table()
    evil = ("<b>x</b>", "a&b", *HAM_CLASSES[2:])
    spelt = dict(zip(HAM_CLASSES, evil, strict=True))
    frame = plain.frame.assign(
        label=plain.frame["label"].map(spelt), sex="<script>alert(1)</script>"
    )
    run = run_folder(tmp_path / "run", predictions=Predictions(frame, plain.logits, evil))
    (run.predictions("val")).unlink()
    html = page(run, tmp_path / "out")
    outline(html)
    assert "<b>x</b>" not in html and "<script" not in html and "&lt;b&gt;x&lt;/b&gt;" in html


def test_thumbnails_only_where_they_are_wanted_and_at_hand(tmp_path):
    run = run_folder(tmp_path / "run", gain=0.0)
    images = list(table(gain=0.0).frame["image_id"])
    noise(tmp_path / "a.png", seed=0)
    pictures = dict.fromkeys(images, str(tmp_path / "a.png"))
    shown = page(run, tmp_path / "out", images=True, pictures=pictures)
    assert shown.count("data:image/jpeg;base64") == 12
    assert all("taken for" in alt for alt in outline(shown).images)
    hidden = page(run, tmp_path / "out", images=False, pictures=pictures)
    assert "data:image" not in hidden and "report.images=false" in hidden
    absent = page(run, tmp_path / "out", images=True)
    assert "data:image" not in absent and "are not at hand" in absent


def test_numbers_on_every_shade_reach_contrast_aa():
    for share in np.linspace(0, 1, 101):
        style = re.search(
            r"background:rgb\(([\d,]+)\);color:(#\w+)", _cell(int(share * 100), 100, True)
        )
        paper = _luminance(np.array([float(c) for c in style[1].split(",")]))
        ink = 1.0 if style[2] == "#fff" else 0.0
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5


@pytest.mark.parametrize("rows", [np.array([0]), "one class", np.array([0, 1])])
def test_few_images_and_one_class_are_said_not_hidden(tmp_path, rows):
    whole = table()
    few = whole.rows(whole.labels == 2 if isinstance(rows, str) else rows)
    run = run_folder(tmp_path / "run", predictions=few)
    html = page(run, tmp_path / "out")
    outline(html)
    assert "not defined" in html and "There are no images of" in html
    assert "nan" not in words(html).lower().split()


def test_what_an_absent_class_does_to_each_mean_is_said_as_it_is(tmp_path):
    whole = table(gain=0.5)
    few = whole.rows(whole.labels != 2)
    assert (few.logits.argmax(axis=1) == 2).any()
    run = run_folder(tmp_path / "run", predictions=few)
    scores = summarise(few, split_protocol="p")
    others = [row for name, row in scores["per_class"].items() if name != HAM_CLASSES[2]]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean([r["recall"] for r in others]))
    assert scores["macro_f1"] == pytest.approx(sum(row["f1"] for row in others) / 7)
    said = words(page(run, tmp_path / "out"))
    assert "Balanced accuracy and AUROC are means over the other classes" in said
    assert "in macro-F1 an absent class that is answered all the same counts 0" in said


def test_drawings_of_classes_and_tables_of_like_names_are_files_of_their_own(tmp_path):
    part = Part("two", el("p", ""), {"roc_a/b": "<svg>1</svg>", "roc_a b": "<svg>2</svg>"})
    write_figures(tmp_path, part)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {"roc_a_b.svg": "<svg>1</svg>", "roc_a_b_2.svg": "<svg>2</svg>"}
    runs = [str(run_folder(tmp_path / name).path) for name in ("a b", "a_b")]
    evaluate(read_tables(runs), tmp_path / "out", images=False, **FAST)
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {"a_b", "a_b_2"}
