"""Near-duplicates: shots of one scene are joined, other photographs stay apart."""

import csv
import os

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from dermasense.data import duplicates
from dermasense.data.duplicates import near_duplicates


def scene(seed, size=240):
    """Blobs of skin-like colours with fine structure; every seed another scene."""
    rng = np.random.default_rng(seed)
    layers = np.full((size, size, 3), (205.0, 160.0, 140.0))
    for cells, strength in ((6, 50), (24, 40), (80, 25)):
        noise = rng.normal(0, strength, (cells, cells, 3)).clip(-127, 127) + 128
        layer = Image.fromarray(noise.astype(np.uint8)).resize((size, size), Image.BICUBIC)
        layers += np.asarray(layer, dtype=float) - 128
    return Image.fromarray(layers.clip(0, 255).astype(np.uint8))


@pytest.fixture
def shots(tmp_path):
    """Four versions of scene 0, then five other scenes."""
    first = scene(0)
    versions = [
        first,
        first.resize((120, 120)),
        ImageEnhance.Brightness(first).enhance(0.8).filter(ImageFilter.GaussianBlur(1)),
        first.crop((8, 4, 236, 232)),
        *[scene(seed) for seed in range(1, 6)],
    ]
    paths = []
    for i, image in enumerate(versions):
        paths.append(str(tmp_path / f"{i}.jpg"))
        image.save(paths[-1], quality=85)
    return paths


def test_copies_crops_and_exposures_are_joined_and_other_scenes_are_not(shots):
    assert near_duplicates(shots).tolist() == [0, 0, 0, 0, 4, 5, 6, 7, 8]


def test_a_crop_in_other_colours_and_a_turned_copy_are_joined(tmp_path):
    first = scene(0)
    part = first.crop((50, 40, 220, 210)).resize((240, 240))
    recoloured = Image.merge("RGB", part.split()[::-1])
    versions = [first, recoloured, first.transpose(Image.Transpose.ROTATE_90)]
    paths = []
    for i, image in enumerate([*versions, *[scene(seed) for seed in range(1, 4)]]):
        paths.append(str(tmp_path / f"{i}.jpg"))
        image.save(paths[-1], quality=85)
    assert near_duplicates(paths).tolist() == [0, 0, 0, 3, 4, 5]


def test_a_watermark_joins_nobody(tmp_path):
    mark = scene(9, 80)
    paths = []
    for seed in range(4):
        image = scene(seed)
        image.paste(mark, (0, 160))
        paths.append(str(tmp_path / f"{seed}.png"))
        image.save(paths[-1])
    assert near_duplicates(paths).tolist() == [0, 1, 2, 3]


def test_among_many_pictures_the_nearest_by_key_points_are_held_against_each_other(tmp_path):
    from dermasense.data import key_points

    images = [scene(seed, 120) for seed in range(26)]
    images.append(images[3].transpose(Image.Transpose.ROTATE_180))
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"{i}.png"))
        image.save(paths[-1])
    pairs = key_points.neighbours([key_points.key_points(path) for path in paths], 3)
    assert (3, 26) in pairs and len(pairs) < 26 * 27 / 2
    assert all(i < j for i, j in pairs)


def test_the_order_of_the_paths_changes_nothing(shots):
    order = [6, 3, 8, 0, 2, 7, 1, 4, 5]
    clusters = near_duplicates([shots[i] for i in order])
    assert clusters.tolist() == [0, 1, 2, 1, 1, 5, 1, 7, 8]


def test_byte_equal_files_are_joined_even_where_the_picture_is_flat(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path, shade in zip(paths, (0, 90, 0), strict=True):
        Image.new("L", (20, 20), shade).save(path)
    absent = [str(tmp_path / "x"), str(tmp_path / "y")]
    assert near_duplicates([*paths, *absent]).tolist() == [0, 1, 0, 3, 4]


def test_an_unreadable_picture_stays_alone(shots):
    with open(shots[1], "wb") as file:
        file.write(b"not a picture")
    os.remove(shots[4])
    assert near_duplicates(shots).tolist() == [0, 1, 0, 0, 4, 5, 6, 7, 8]


def test_the_result_is_kept_and_found_again(shots, tmp_path, monkeypatch):
    first = near_duplicates(shots, tmp_path / "cache")
    monkeypatch.setattr(duplicates, "_find_pairs", lambda _: pytest.fail("looked again"))
    assert (near_duplicates(shots, tmp_path / "cache") == first).all()


def test_a_damaged_result_is_made_again(shots, tmp_path):
    first = near_duplicates(shots, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("duplicates-*.json")
    kept.write_text(kept.read_text()[:-3])
    assert (near_duplicates(shots, tmp_path / "cache") == first).all()


# Verified by eye: a copy, other exposures, shifted frames, a closer shot, three shots of one back.
KNOWN_PAIRS = [
    ("f43b3a81dc7b23bbcc19d2613b8150da", "f008da9a1ae57dcc084a7e7a677a9bce"),
    ("e9e1fe71a96489b9d37709645f127ad1", "e5870f94613e758ed118e9b68c2bce49"),
    ("0ebbe712c9ae16ad849cb044a91ab0fa", "af109cfc81dfefb8ef091dec3e5f8df7"),
    ("81cd223791c52b6dc9735224c01f23ae", "e479493ef7b9eb98308be012b0e0a724"),
    ("fc8889251884b4e84fdd1232f0dbf45c", "edf3ebb3f6a18cc37d0b69b4cc3613c6"),
    ("a0813aad14b96d669342ef81e4d6bab0", "37fb4e175856fcd845c1e5695c88acff"),
    ("be0336e6d666465227edd9e726c650f5", "1f9e473d8f56a1204c6d6bd57e3d9bf1"),
    ("be0336e6d666465227edd9e726c650f5", "18512e5c8aac9ceb8d67e6c93d4f7ecc"),
    ("0ebbe712c9ae16ad849cb044a91ab0fa", "af109cfc81dfefb8ef091dec3e5f8df7"),
    ("03a35b82c85b35a9fae5cb2c3a705320", "f23510d480f94688cac57996755d7ee8"),
    ("2df39821d2328b6adee3dcacc2eb83f5", "1be1d2f398ddc73ec7f7540f255f0964"),
]


@pytest.mark.slow
def test_known_pairs_of_fitzpatrick21_are_joined_without_chains(real_data):
    root = real_data("fitzpatrick21")
    with open(root / "train.csv", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["label"] in ("folliculitis", "keloid")]
    paths = [str(root / "images" / r["label"] / f"{r['md5hash']}.jpg") for r in rows]
    clusters = near_duplicates(paths)
    cluster = dict(zip([r["md5hash"] for r in rows], clusters.tolist(), strict=True))
    for one, other in KNOWN_PAIRS:
        assert cluster[one] == cluster[other]
    assert np.bincount(clusters).max() <= 6  # six crops of one patch of folliculitis
    labels = np.array([r["label"] for r in rows])
    assert (labels == labels[clusters]).all()  # nobody photographed both in one scene


def test_no_pictures_have_no_duplicates(tmp_path):
    assert near_duplicates([], tmp_path).shape == (0,)
