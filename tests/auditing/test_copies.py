"""Copies: whatever was done to a picture it is found; what only looks alike is not."""

import numpy as np
from PIL import Image, ImageEnhance

from dermasense.auditing.copies import AGREES, TURNS, find_copies
from tests.auditing.planted import framed, scene


def pixels(pictures):
    return [np.asarray(p.resize((96, 96), Image.Resampling.LANCZOS)) for p in pictures]


def thumbnails(images):
    tiles = np.stack(images).astype(np.float32).reshape(len(images), 4, 24, 4, 24, 3)
    return tiles.mean((2, 4)).reshape(len(images), -1)


def copies_of(pictures, **options):
    images = pixels(pictures)
    return find_copies(images, thumbnails(images), **options)


TRANSPOSES = {
    "flipped left to right": Image.Transpose.FLIP_LEFT_RIGHT,
    "flipped top to bottom": Image.Transpose.FLIP_TOP_BOTTOM,
    "turned by 180": Image.Transpose.ROTATE_180,
    "turned by 90 clockwise": Image.Transpose.ROTATE_270,
    "turned by 270 clockwise": Image.Transpose.ROTATE_90,
    "flipped on the diagonal": Image.Transpose.TRANSPOSE,
    "flipped on the other diagonal": Image.Transpose.TRANSVERSE,
}


def test_a_turned_copy_is_found_and_its_turn_named():
    originals = [scene(seed) for seed in range(len(TRANSPOSES))]
    turned = [p.transpose(how) for p, how in zip(originals, TRANSPOSES.values(), strict=True)]
    found = {copy.first: copy for copy in copies_of([*originals, *turned])}
    for place, turn in enumerate(TRANSPOSES):
        copy = found.pop(place)
        assert (copy.second, copy.turn) == (place + len(TRANSPOSES), turn)
        assert copy.likeness > 0.95 and copy.share == 1.0
    assert not found
    assert set(TURNS) == {*TRANSPOSES, "as it is"}


def test_cropped_shrunk_and_reexposed_copies_are_found():
    original = scene(0)
    changed = [
        original.crop((8, 10, 136, 106)),
        original.resize((80, 60)),
        ImageEnhance.Brightness(original).enhance(0.8),
        original.crop((20, 10, 150, 108)).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    found = copies_of([original, *changed, *map(scene, range(1, 7))])
    with_original = {copy.second: copy for copy in found if copy.first == 0}
    assert set(with_original) == {1, 2, 3, 4}
    assert 0.75 < with_original[1].share < 0.85  # 128 of 160 px
    assert all(copy.second <= 4 for copy in found)


def test_scenes_behind_one_rim_are_no_copies():
    assert copies_of([framed(seed) for seed in range(10)]) == []


def test_a_framed_copy_is_found():
    first = framed(0)
    (copy,) = copies_of([first, *map(framed, range(1, 8)), first.resize((120, 90))])
    assert (copy.first, copy.second) == (0, 8) and copy.likeness >= AGREES


def test_pictures_without_structure_are_never_near_copies():
    flat = [Image.new("RGB", (160, 120), (200 + i, 150, 140)) for i in range(5)]
    assert copies_of([*flat, scene(0)]) == []


def test_two_sets_are_compared_across_and_not_within():
    one, two = scene(0), scene(1)
    found = copies_of([one, one, scene(5), two, one, two], apart=3)
    assert {(copy.first, copy.second) for copy in found} == {(0, 4), (1, 4)}
    assert copies_of([one, one], apart=2) == [] == copies_of([one, one], apart=0)
    assert copies_of([one]) == []
