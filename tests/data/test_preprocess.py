"""The one door from a picture to pixels: odd images become the right RGB, bad ones are refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dermasense.data import preprocess
from dermasense.data.preprocess import InputSpec, UnreadableImage, read_rgb, resize_rgb
from dermasense.errors import DermaSenseError

RAMP16 = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
RAMP8 = np.arange(256, dtype=np.uint8)[None].repeat(8, axis=0)


def spec(size=8, resize="squash", **options):
    return InputSpec(size, resize, (0.5,) * 3, (0.5,) * 3, **options)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data):
    image = read_rgb(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def photograph(size=(64, 48)):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def test_exif_orientation_turns_the_picture_upright():
    image = Image.new("RGB", (4, 2), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    upright = pixels(encoded(image, "PNG", exif=exif))
    assert upright.shape == (4, 2, 3)
    assert upright[0, 1].tolist() == [255, 0, 0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_leaves_the_pixels():
    data = encoded(photograph(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert pixels(data).shape == (48, 64, 3)


def test_grey_becomes_three_equal_channels():
    assert (pixels(encoded(Image.fromarray(RAMP8))) == RAMP8[..., None]).all()


def test_black_and_white_becomes_0_and_255():
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert pixels(encoded(bits))[0, :, 0].tolist() == [0, 255]


def palette_image():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    return image


def test_palette_becomes_its_colours():
    assert pixels(encoded(palette_image()))[0].tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(kind):
    data = encoded(palette_image(), kind, transparency=0)
    assert pixels(data)[0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize(
    ("alpha", "colour"), [(0, (255, 255, 255)), (128, (255, 127, 127)), (255, (255, 0, 0))]
)
def test_alpha_is_laid_on_white(alpha, colour):
    data = encoded(Image.new("RGBA", (1, 1), (255, 0, 0, alpha)))
    assert np.abs(pixels(data)[0, 0].astype(int) - colour).max() <= 1


def test_grey_with_alpha_is_laid_on_white():
    assert pixels(encoded(Image.new("LA", (1, 1), (0, 0))))[0, 0].tolist() == [255, 255, 255]


def test_transparent_colour_of_an_rgb_png_becomes_white():
    data = encoded(Image.new("RGB", (1, 1), (9, 8, 7)), transparency=(9, 8, 7))
    assert pixels(data)[0, 0].tolist() == [255, 255, 255]


def test_cmyk_jpeg_becomes_rgb():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(pixels(data)[4, 4].astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_ramp_is_scaled_not_clipped(kind):
    assert (pixels(encoded(Image.fromarray(RAMP16), kind)) == RAMP8[..., None]).all()


def test_16_bit_big_endian_tiff_ramp_is_scaled():
    image = Image.frombytes("I;16B", (256, 8), RAMP16.astype(">u2").tobytes())
    assert (pixels(encoded(image, "TIFF")) == RAMP8[..., None]).all()


def test_16_bit_grey_is_rounded():
    grey = Image.fromarray(np.array([[0, 128, 129, 385, 386, 65535]], np.uint16))
    assert pixels(encoded(grey))[0, :, 0].tolist() == [0, 0, 1, 1, 2, 255]  # v / 257


def test_16_bit_colour_png_is_scaled():
    rows = RAMP16[:1, :, None].repeat(3, 2).astype(">u2").tobytes()

    def chunk(tag, body):
        check = struct.pack(">I", zlib.crc32(tag + body))
        return struct.pack(">I", len(body)) + tag + body + check

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 256, 1, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(b"\x00" + rows)) + chunk(b"IEND", b"")
    assert np.abs(pixels(data)[0, :, 1].astype(int) - np.arange(256)).max() <= 1


def test_float_tiff_from_0_to_1_is_scaled_and_any_other_refused():
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert pixels(encoded(unit, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(UnreadableImage, match="outside 0 to 1"):
        read_rgb(encoded(Image.fromarray(np.array([[0, 300]], np.float32)), "TIFF"))


def test_jpeg_cut_to_60_percent_is_unreadable(tmp_path):
    data = encoded(photograph((400, 300)), "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * 0.6)])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg.*truncated"):
        read_rgb(path)


def test_picture_bomb_is_refused_before_it_is_decoded(monkeypatch):
    data = encoded(Image.new("1", (9000, 9000)))
    assert len(data) < 20_000
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnreadableImage, match="9000 x 9000 pixels are more than the limit"):
        read_rgb(data)


def test_bomb_beyond_pillows_own_limit_is_refused():
    with pytest.raises(UnreadableImage, match="more pixels than the limit"):
        read_rgb(encoded(Image.new("1", (20_000, 20_000))))


@pytest.mark.parametrize("data", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_unreadable(data):
    with pytest.raises(UnreadableImage, match="not a picture of a known format"):
        read_rgb(data, name="upload")


def test_two_picture_jpeg_of_a_phone_gives_the_first():
    data = encoded(photograph(), "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert pixels(data).shape == (48, 64, 3)


def test_webp_is_read():
    assert pixels(encoded(photograph(), "WEBP")).shape == (48, 64, 3)


def test_missing_file_is_unreadable_and_a_user_mistake(tmp_path):
    with pytest.raises(DermaSenseError, match=r"gone\.jpg: no such file"):
        read_rgb(tmp_path / "gone.jpg")


def test_path_bytes_and_stream_give_the_same_pixels(tmp_path):
    data = encoded(photograph(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    results = [read_rgb(s) for s in (tmp_path / "a.jpg", str(tmp_path / "a.jpg"), data)]
    results.append(read_rgb(io.BytesIO(data)))
    assert len({r.tobytes() for r in results}) == 1


def test_squash_keeps_the_whole_picture():
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 10, 20))
    small = resize_rgb(image, spec(8, interpolation="box"))
    assert small.shape == (8, 8, 3) and small.dtype == np.uint8
    assert small[:, :2, 0].min() == 255 and small[:, 2:, 0].max() == 0


def test_crop_is_the_shorter_side_to_size_then_the_centre():
    image = photograph((80, 40))
    whole = np.asarray(image.resize((32, 16), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(resize_rgb(image, spec(16, "crop")) - whole[:, 8:24]).max() <= 1


def test_crop_of_a_tall_picture_keeps_the_centre():
    image = Image.new("RGB", (20, 40), "blue")
    image.paste("red", (0, 10, 20, 30))
    cropped = resize_rgb(image, spec(8, "crop", interpolation="box"))
    assert (cropped == [255, 0, 0]).all()


def test_squash_is_pillows_lanczos():
    image = photograph()
    expected = np.asarray(image.resize((24, 24), Image.Resampling.LANCZOS))
    assert (resize_rgb(image, spec(24)) == expected).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resize": "squish"}, "did you mean 'squash'"),
        ({"interpolation": "lancsos"}, "did you mean 'lanczos'"),
        ({"size": 0}, "at least 1"),
    ],
)
def test_unknown_options_are_named(options, words):
    with pytest.raises(DermaSenseError, match=words):
        spec(**options)


def test_bands_change_no_pixel(monkeypatch):
    rng = np.random.default_rng(0)
    alpha = Image.fromarray(rng.integers(0, 256, (11, 7, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (11, 7), dtype=np.uint16))
    unit = Image.fromarray(rng.random((11, 7), dtype=np.float32))
    files = [encoded(alpha), encoded(deep), encoded(unit, "TIFF")]
    whole = [pixels(data) for data in files]
    monkeypatch.setattr(preprocess, "BAND", 4)
    assert all((pixels(data) == one).all() for data, one in zip(files, whole, strict=True))


def test_a_picture_of_just_as_many_pixels_as_the_limit_is_read():
    data = encoded(Image.new("RGB", (20, 20)))
    assert read_rgb(data, 400).size == (20, 20)
    # No option is named: at this door none may be there.
    with pytest.raises(UnreadableImage, match=r"20 x 20 .* than the limit of 399; shrink it$"):
        read_rgb(data, 399)
