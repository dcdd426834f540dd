"""The synthetic data set: same bytes for the same seed, fair over skin tones, honest of itself."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermasense.data.catalog import check
from dermasense.data.lesion_painter import ITA_RANGE, paint, skin_rgb
from dermasense.data.lesion_population import CLASS_NAMES, draw_population, lesion_counts
from dermasense.data.sources.synthetic import catalog, mask_path
from dermasense.errors import DermaSenseError

SMALL = {"n_lesions": 21, "image_px": 64}
HAM = {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return catalog(str(tmp_path_factory.mktemp("synthetic")), masks=True, **SMALL)


def contents(cat) -> dict[str, bytes]:
    return {row.image_id: Path(row.path).read_bytes() for row in cat.frame.itertuples()}


def test_same_seed_gives_the_same_bytes_and_another_seed_gives_others(small, tmp_path):
    again = catalog(str(tmp_path), masks=True, **SMALL)
    other = catalog(str(tmp_path), masks=True, seed=1, **SMALL)
    assert contents(again) == contents(small)
    assert again.frame.drop(columns="path").equals(small.frame.drop(columns="path"))
    assert not set(contents(other).values()) & set(contents(small).values())


def test_catalog_is_sound_and_says_what_it_is(small):
    assert check(small, splits=3) == []
    assert small.class_names == CLASS_NAMES and not HAM & set(CLASS_NAMES)
    assert "drawn by a program" in small.note and "nothing about skin" in small.note
    assert small.frame["skin_type"].between(1, 6).all()
    assert small.frame["hairs"].dtype == bool and small.frame["ruler"].dtype == bool
    with Image.open(small.frame["path"][0]) as image:
        assert image.size == (64, 48) and image.mode == "RGB"


def test_one_lesion_keeps_its_label_and_skin_in_all_its_pictures(small):
    lesions = small.frame.groupby("group")
    assert (lesions[["label", "skin_type", "localization"]].nunique() == 1).all().all()
    assert lesions.size().max() > 1
    pictures = contents(small)
    assert len(set(pictures.values())) == len(pictures)


def test_default_counts_are_unbalanced_and_every_class_reaches_each_split():
    counts = lesion_counts(430, None)
    assert sum(counts.values()) == 430
    assert max(counts.values()) > 4 * min(counts.values()) >= 4 * 20
    assert min(lesion_counts(21, None).values()) == 3
    assert lesion_counts(30, {"drawn_net": 1, "drawn_dots": 1, "drawn_rays": 0}) == {
        "drawn_net": 15,
        "drawn_dots": 15,
    }


def test_skin_tone_hairs_and_ruler_do_not_depend_on_the_class():
    people = draw_population(seed=0, n_lesions=2000)
    label = np.array([CLASS_NAMES.index(p.label) for p in people])
    for trait, levels in (
        (np.array([p.skin_type for p in people]), range(1, 7)),
        (np.array([p.views[0].hairs > 0 for p in people]), (False, True)),
        (np.array([p.views[0].ruler for p in people]), (False, True)),
    ):
        table = np.array([[np.sum((label == c) & (trait == v)) for v in levels] for c in range(7)])
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
        freedom = 6 * (len(levels) - 1)
        # Chi-squared: mean = freedom, variance = 2 * freedom; three deviations.
        assert np.sum((table - expected) ** 2 / expected) < freedom + 3 * np.sqrt(2 * freedom)


def test_changing_the_class_mix_leaves_skin_and_views_alone():
    first = draw_population(seed=3, n_lesions=20)
    second = draw_population(seed=3, n_lesions=20, class_weights={"drawn_net": 1, "drawn_rays": 1})
    assert [(p.skin_type, p.site, p.views) for p in first] == [
        (p.skin_type, p.site, p.views) for p in second
    ]


def test_skin_darkens_from_type_1_to_6_and_has_the_angle_it_was_asked_for():
    tones = [skin_rgb(sum(ITA_RANGE[t]) / 2) for t in range(1, 7)]
    luminance = [float(t @ (0.2126, 0.7152, 0.0722)) for t in tones]
    assert luminance == sorted(luminance, reverse=True)
    assert all(t[0] > t[1] > t[2] for t in tones)  # skin is never grey, green or blue
    # CIE L* = 116 Y^(1/3) - 16; with ITA 0 the definition gives L* = 50 whatever b* is.
    assert 116 * float(skin_rgb(0.0) @ (0.2126, 0.7152, 0.0722)) ** (1 / 3) - 16 == pytest.approx(
        50, abs=0.1
    )


def test_mask_covers_the_lesion_which_is_darker_than_the_skin_around_it():
    contrasts = []
    for person in draw_population(seed=0, n_lesions=40):
        image, mask = paint(person.lesion, person.views[0], 96)
        assert image.shape == (72, 96, 3) and image.dtype == np.uint8
        assert 0.05 < mask.mean() < 0.75
        rows, columns = np.nonzero(mask)
        assert abs(rows.mean() / 72 - 0.5) < 0.25 and abs(columns.mean() / 96 - 0.5) < 0.25
        ring = ~mask & (image.sum(-1) > 60)  # not the black frame
        contrasts.append(float(image[ring].mean() - image[mask].mean()))
    assert np.mean(np.array(contrasts) > 5) > 0.9


def test_masks_lie_beside_the_images_only_if_asked_for(small, tmp_path):
    with Image.open(mask_path(small.frame["path"][0])) as mask:
        values = set(np.unique(np.asarray(mask)))
    assert values == {0, 255}
    plain = catalog(str(tmp_path), n_lesions=7, image_px=32)
    assert not mask_path(plain.frame["path"][0]).exists()


def test_second_call_draws_nothing_and_a_damaged_folder_is_drawn_again(tmp_path):
    options = {"n_lesions": 7, "image_px": 32}
    first = catalog(str(tmp_path), **options)
    good, times = contents(first), [os.stat(p).st_mtime_ns for p in first.frame["path"]]
    assert [
        os.stat(p).st_mtime_ns for p in catalog(str(tmp_path), **options).frame["path"]
    ] == times
    Path(first.frame["path"][0]).unlink()
    Path(first.frame["path"][1]).write_bytes(good[first.frame["image_id"][1]][:100])
    assert contents(catalog(str(tmp_path), **options)) == good
    assert [p.name for p in tmp_path.iterdir()] == [Path(first.frame["path"][0]).parts[-3]]


def test_nothing_is_drawn_beside_files_of_others(tmp_path):
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\n")
    with pytest.raises(DermaSenseError, match=r"holds HAM10000_metadata.csv.*data=ham10000"):
        catalog(str(tmp_path), **SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["HAM10000_metadata.csv"]


def test_losing_the_race_to_another_builder_is_no_error(tmp_path, monkeypatch):
    options = {"n_lesions": 7, "image_px": 32}
    from dermasense.data.sources import synthetic

    draw, raced = synthetic._draw, []

    def other_builder_wins(*args):
        if not raced:
            raced.append(True)
            catalog(str(tmp_path), **options)
        return draw(*args)

    monkeypatch.setattr(synthetic, "_draw", other_builder_wins)
    assert check(catalog(str(tmp_path), **options)) == []
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_lesions": 3}, "data.n_lesions: 3 lesions cannot fill 7 classes; take 21 or more"),
        ({"image_px": 8}, "data.image_px: expected a whole number from 32 to 2048, got 8"),
        ({"difficulty": "hard"}, "data.difficulty: expected a number from 0 to 3, got 'hard'"),
        ({"class_weights": {"drawn_nets": 1}}, "did you mean 'drawn_net'"),
        ({"class_weights": {"drawn_net": -1}}, "data.class_weights.drawn_net: expected a number"),
        ({"class_weights": {"drawn_net": 1}}, "at least two classes"),
    ],
)
def test_a_wrong_option_is_one_sentence_that_names_it(tmp_path, options, words):
    with pytest.raises(DermaSenseError) as error:
        catalog(str(tmp_path), **options)
    assert words in str(error.value) and "\n" not in str(error.value)
