"""DICOM pictures read as the PNG of the same content; what needs a choice by eye is refused."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from dermasense.data import dicom
from dermasense.data.preprocess import UnreadableImage, read_rgb
from tests.data.dicom_files import COLOUR, GREY16, as_png, dicom_file

pydicom = pytest.importorskip("pydicom")
from pydicom import uid  # noqa: E402


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(read_rgb(data))


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_is_the_png(planar):
    assert (pixels(dicom_file(COLOUR, PlanarConfiguration=planar)) == COLOUR).all()


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_other_uncompressed_syntaxes(syntax):
    assert (pixels(dicom_file(COLOUR, syntax=syntax)) == COLOUR).all()


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_lossless_compression_is_the_png(syntax):
    if syntax == uid.JPEG2000Lossless:
        pytest.importorskip("openjpeg")
    assert (pixels(dicom_file(COLOUR, syntax=syntax)) == COLOUR).all()


@pytest.mark.parametrize("subsampling", [0, 1])
def test_baseline_jpeg_is_the_jpeg(subsampling):
    jpeg = io.BytesIO()
    Image.fromarray(COLOUR).save(jpeg, "JPEG", quality=95, subsampling=subsampling)
    name = "YBR_FULL" if subsampling == 0 else "YBR_FULL_422"
    data = dicom_file(COLOUR, frame=jpeg.getvalue(), PhotometricInterpretation=name)
    difference = pixels(data).astype(int) - pixels(jpeg.getvalue())
    assert np.abs(difference).max() <= 2 and np.abs(difference).mean() < 0.5


def test_ybr_full_is_turned_to_rgb():
    ycbcr = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
    data = dicom_file(ycbcr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(pixels(data).astype(int) - COLOUR).max() <= 3


def test_ybr_full_422_is_turned_to_rgb():
    ycbcr = np.asarray(Image.fromarray(COLOUR.repeat(2, axis=1)).convert("YCbCr")).reshape(-1, 2, 3)
    packed = np.stack([ycbcr[:, 0, 0], ycbcr[:, 1, 0], ycbcr[:, 0, 1], ycbcr[:, 0, 2]], axis=1)
    data = dicom_file(
        COLOUR.repeat(2, axis=1),
        raw=packed.tobytes(),
        PhotometricInterpretation="YBR_FULL_422",
    )
    assert np.abs(pixels(data)[:, ::2].astype(int) - COLOUR).max() <= 3


def test_monochrome_2_is_grey_and_monochrome_1_its_negative():
    grey = COLOUR[..., 0]
    assert (pixels(dicom_file(grey)) == grey[..., None]).all()
    negative = dicom_file(255 - grey, PhotometricInterpretation="MONOCHROME1")
    assert (pixels(negative) == grey[..., None]).all()


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_grey_is_scaled_from_its_bits(bits):
    stored = GREY16 >> (16 - bits)
    expected = np.round(stored / (2**bits - 1) * 255)[..., None]
    assert (pixels(dicom_file(stored, BitsStored=bits, HighBit=bits - 1)) == expected).all()


def test_16_bit_grey_is_the_16_bit_png():
    assert (pixels(dicom_file(GREY16)) == pixels(as_png(GREY16))).all()


def test_a_window_is_applied():
    grey = np.array([[0, 64, 128, 192]], np.uint8).repeat(2, 0)
    data = dicom_file(grey, WindowCenter=128, WindowWidth=128)
    shown = pixels(data)[0, :, 0]
    assert shown[0] == shown[1] == 0 and shown[3] == 255 and 120 <= shown[2] <= 136


@pytest.mark.parametrize("shift", [0, 8])
def test_palette_colours(shift):
    image = Image.fromarray(COLOUR).quantize(16)
    table = np.zeros((256, 3), np.uint16)
    colours = np.array(image.getpalette()).reshape(-1, 3)
    table[: len(colours)] = colours
    entries = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        kind = np.uint16 if shift else np.uint8
        entries[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8 + shift]
        values = (table[:, channel] << shift).astype(kind)
        entries[f"{name}PaletteColorLookupTableData"] = values.tobytes()
    data = dicom_file(np.asarray(image), PhotometricInterpretation="PALETTE COLOR", **entries)
    assert (pixels(data) == np.asarray(image.convert("RGB"))).all()


def test_the_name_of_the_file_plays_no_part(tmp_path):
    (tmp_path / "lesion.jpg").write_bytes(dicom_file(COLOUR))
    assert (np.asarray(read_rgb(tmp_path / "lesion.jpg")) == COLOUR).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"NumberOfFrames": 3}, "is DICOM of 3 frames; save the one"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "YBR_PARTIAL_420, which is not read"),
        ({"PixelRepresentation": 1}, "is no photograph (PixelRepresentation 1)"),
        ({"RescaleIntercept": -1024, "RescaleSlope": 1}, "RescaleIntercept -1024"),
        ({"raw": None}, "is DICOM without a picture (VL Photographic Image Storage)"),
        ({"Rows": 20_000, "Columns": 20_000}, "20000 x 20000 pixels are more than the limit"),
        ({"raw": b"\0" * 10}, "cannot be decoded"),
    ],
)
def test_what_is_refused_says_why_in_one_sentence(options, words):
    with pytest.raises(UnreadableImage) as caught:
        read_rgb(dicom_file(COLOUR, **options), name="scan.dcm")
    text = str(caught.value)
    assert text.startswith("scan.dcm: ") and words in text and "\n" not in text


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        (uid.JPEGLSLossless, "pip install pylibjpeg pylibjpeg-libjpeg (its licence is GPL)"),
        (uid.JPEG2000Lossless, "pip install pylibjpeg pylibjpeg-openjpeg"),
        (uid.HTJ2K, "pip install pylibjpeg pylibjpeg-openjpeg"),
        (uid.JPEGLosslessSV1, "pip install pylibjpeg pylibjpeg-libjpeg (its licence is GPL)"),
    ],
)
def test_a_missing_plug_in_is_named_and_those_that_abort_or_hang_are_none(
    syntax, words, monkeypatch
):
    plugins = "pydicom.pixels.decoders.base.Decoder.available_plugins"
    monkeypatch.setattr(plugins, property(lambda _: ("gdcm", "pyjpegls")))
    data = dicom_file(COLOUR, frame=b"\xff\xd8", syntax=syntax, PhotometricInterpretation="RGB")
    with pytest.raises(UnreadableImage, match=re.escape(f"to read it type {words}")):
        read_rgb(data)


def test_a_syntax_that_nothing_reads_is_named():
    data = dicom_file(COLOUR, frame=b"x", syntax=uid.MPEG2MPML)
    with pytest.raises(UnreadableImage, match=r"MPEG2.* is not read; save it uncompressed"):
        read_rgb(data)


def test_without_pydicom_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(dicom, "_pydicom_or_none", lambda: None)
    with pytest.raises(UnreadableImage, match="is DICOM, which needs pydicom; type pip install"):
        read_rgb(dicom_file(COLOUR))


def test_a_larger_picture_inside_than_stated_is_not_decoded():
    jpeg = io.BytesIO()
    Image.new("RGB", (3000, 3000)).save(jpeg, "JPEG")
    data = dicom_file(COLOUR, frame=jpeg.getvalue(), PhotometricInterpretation="YBR_FULL_422")
    with pytest.raises(UnreadableImage, match="but holds a picture of 3000 x 3000"):
        read_rgb(data)


def test_deflated_dicom_is_refused_before_it_is_inflated():
    data = dicom_file(COLOUR, syntax=uid.DeflatedExplicitVRLittleEndian)
    with pytest.raises(UnreadableImage, match="is deflated DICOM"):
        read_rgb(data)


def test_dicom_in_bands_is_dicom_as_a_whole(monkeypatch):
    values = np.random.default_rng(0).integers(-900, 5000, (11, 7, 3))
    whole = dicom._in_8_bits(values, 4095, True)
    monkeypatch.setattr(dicom, "BAND", 4)
    assert (dicom._in_8_bits(values, 4095, True) == whole).all()
    assert whole[values <= 0].min() == 255 and whole[values >= 4095].max() == 0
