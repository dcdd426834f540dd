"""The one door from a picture to the model's pixels: training, evaluation, export and serving.

Normalisation is not here: the classifier does it on the device, once, from uint8.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

from dermasense.data.cleaning import check_cleaners, cleaned
from dermasense.data.jpeg_scans import MOST_SCANS, SOI, has_many_scans
from dermasense.data.regular_file import open_regular, reason_of
from dermasense.errors import DermaSenseError, check_choice

MAX_PIXELS = 50_000_000
RESIZES = ("squash", "crop")
INTERPOLATIONS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
# Named, so that no picture can start an interpreter (EPS runs ghostscript) or an untested decoder.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
# Endings of files that are taken for pictures in a person's folder or zip; AVIF and HEIF are among
# them, so that they are refused in a sentence and not passed over.
PICTURES = (
    ".apng", ".avif", ".bmp", ".dcm", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg",
    ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
BAND = 256  # rows that are converted at a time
HEAD = 132  # bytes that tell DICOM and what is commonly taken for a picture
NO_PICTURES = {
    b"": "is empty (0 bytes)",
    b"version https://git-lfs": "is a pointer of Git LFS (type git lfs pull)",
    b"<!doctype html": "is a web page (of a download that failed)",
    b"<html": "is a web page (of a download that failed)",
}
# Our own pixel limit is the lower one, and a damaged EXIF block is passed over.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Corrupt EXIF data", category=UserWarning)


class UnreadableImage(DermaSenseError):
    """A picture that cannot be decoded in full, or is refused; the text gives file and reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


class TooLarge(UnreadableImage):
    """More pixels than are taken here; whoever can raise the limit says so where this is caught."""


class UnreadableHere(UnreadableImage):
    """The picture may be good: this computer lacks a program or the memory to decode it."""


@dataclass(frozen=True)
class InputSpec:
    """What the model's pixels are; stored in the bundle, the same at every door.

    Attributes:
        image_size: side S of the square input, in pixels.
        resize: "squash" (whole picture to a square, as both originals did) or "crop" (shorter
            side to S, centre crop).
        mean: per-channel mean on the 0..1 scale, for the classifier.
        std: per-channel standard deviation on the 0..1 scale, for the classifier.
        interpolation: resampling filter, one of INTERPOLATIONS.
        max_pixels: pictures with more pixels than this are refused before they are decoded.
        clean: what is done to a picture before it is resized, in this order; names of
            `dermasense.data.cleaning`.
    """

    image_size: int
    resize: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "lanczos"
    max_pixels: int = MAX_PIXELS
    clean: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_cleaners(self.clean)
        if self.image_size < 1:
            raise DermaSenseError(f"image_size must be at least 1, got {self.image_size}.")
        check_choice("resize", self.resize, RESIZES)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)

    def as_dict(self) -> dict[str, Any]:
        """For model.json; without `clean` where nothing is cleaned, as bundles before it."""
        values = asdict(self)
        return values if self.clean else {k: v for k, v in values.items() if k != "clean"}


def read_rgb(
    source: str | Path | bytes | BinaryIO | Image.Image,
    max_pixels: int = MAX_PIXELS,
    name: str = "",
    admit: Callable[[int], None] = lambda pixels: None,
) -> Image.Image:
    """Decode a picture in full and turn it into 8-bit RGB, upright.

    EXIF orientation is applied; grey, palette and CMYK are converted; transparency is laid on
    white. 16-bit grey is scaled by 1/257 (Pillow's own convert would clip it to white); of 16-bit
    colours Pillow takes the high byte, in PPM it scales them, too. Of an animation or a multi-page
    file the first frame is taken.

    Args:
        source: path, the file's bytes, an open binary file, or a picture, which is left as it is.
        max_pixels: refuse pictures with more pixels, before anything is decoded.
        name: what to call the picture in messages; default the path, or "image".
        admit: called with the number of pixels before they are decoded; it may wait.

    Raises:
        UnreadableImage: no such file, not a picture, cut short, too large, or an unknown mode.
    """
    path = isinstance(source, str | os.PathLike)
    name = name or (str(source) if path else "image")
    try:
        if isinstance(source, Image.Image):
            refuse_pixels(source.size, max_pixels, name)
            source.load()
            image = _to_rgb(_upright(source))
            return image.copy() if image is source else image
        with _opened(source) as stream:
            return _decoded(stream, max_pixels, name, admit)
    except UnreadableImage:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableImage(
            name, f"not a picture of a known format ({', '.join(FORMATS)}, DICOM)"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise TooLarge(name, f"more pixels than the limit of {limit:,}; shrink it") from None
    except MemoryError:
        raise UnreadableHere(
            name, "cannot be decoded (out of memory); close other programs"
        ) from None
    except Exception as error:
        # Pillow's plugins raise what they like on damaged files (struct.error, SyntaxError, ...)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(name, f"cannot be decoded ({reason})") from error


@contextmanager
def _opened(source: str | os.PathLike | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """A seekable stream of the file's bytes; closed again only where it was opened here."""
    if isinstance(source, str | os.PathLike):
        try:
            file = open_regular(source)
        except (OSError, ValueError) as error:
            raise UnreadableImage(str(source), reason_of(error)) from None
        with file:
            yield file
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif source.seekable():
        yield source
    else:
        yield io.BytesIO(source.read())


def _decoded(
    stream: BinaryIO, max_pixels: int, name: str, admit: Callable[[int], None]
) -> Image.Image:
    stream.seek(0)
    head = stream.read(HEAD)
    stream.seek(0)
    if head[128:132] == b"DICM":
        from dermasense.data.dicom import read_dicom

        return read_dicom(stream, max_pixels, name, admit).convert("RGB")
    for start, reason in NO_PICTURES.items():
        if head[: len(start)].lower() == start.lower() and (start or not head):
            raise UnreadableImage(name, f"{reason}, not a picture of a known format")
    if head.startswith(SOI):
        refuse_scans(stream.read(), name)
        stream.seek(0)
    size = _webp_size(head)
    if size:
        refuse_pixels(size, max_pixels, name)
    with Image.open(stream, formats=FORMATS) as image:
        refuse_pixels(image.size, max_pixels, name)
        admit(image.width * image.height)
        image.load()  # verify() would pass a JPEG cut to 60 %
        refuse_pixels(image.size, max_pixels, name)  # a GIF's first frame may exceed its screen
        return _to_rgb(_upright(image))


def refuse_pixels(size: tuple[int, int], max_pixels: int, name: str) -> None:
    """Refuses a picture of that width and height where they are too many pixels.

    Raises:
        TooLarge: they are more than `max_pixels`.
    """
    width, height = size
    if width * height > max_pixels:
        words = f"{width} x {height} pixels are more than the limit of {max_pixels:,}; shrink it"
        raise TooLarge(name, words)


def refuse_scans(data: bytes, name: str) -> None:
    """Refuses a JPEG that takes a hundred times as long as others of its size.

    Raises:
        UnreadableImage: it has more than MOST_SCANS scans.
    """
    if has_many_scans(data):
        raise UnreadableImage(
            name,
            f"a JPEG of more than {MOST_SCANS} scans, made to take long to decode; save it again",
        )


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of an extended WebP, whose decoder makes room for them on opening."""
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X":
        return None
    return tuple(int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))


def resize_rgb(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """Clean and resize an RGB picture as `spec` says.

    Returns:
        uint8 array of shape (S, S, 3), S = spec.image_size.
    """
    if spec.clean:
        image = Image.fromarray(cleaned(np.asarray(image), spec.clean))
    size = (spec.image_size, spec.image_size)
    # One resampling of the centre square; the filter does see the pixels around it, so a crop
    # is the shorter side to S, then a centre crop.
    part = seen_part(image.size, spec)
    resized = image.resize(size, INTERPOLATIONS[spec.interpolation], box=part)
    return np.asarray(resized, dtype=np.uint8)


def seen_part(size: tuple[int, int], spec: InputSpec) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what the model is shown of a picture, cleaned as it wants.

    Args:
        size: width and height of the picture.
        spec: the model's input.
    """
    width, height = size
    if spec.resize == "squash":
        return 0.0, 0.0, float(width), float(height)
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing about orientation; the pixels are fine
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if image.readonly else image
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with transparency, laid on white; in bands, for memory."""
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, BAND):
        box = (0, top, image.width, min(top + BAND, image.height))
        rgba = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        whole.paste(Image.alpha_composite(white, rgba).convert("RGB"), box)
    return whole


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit grey (modes I;16*, or I within 16 bits) and 0..1 floats to 8-bit RGB."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):  # also refuses NaN
            raise ValueError(f"floating-point values {low:g} to {high:g} are outside 0 to 1")
    elif low < 0 or high > 65535:
        raise ValueError(f"values {low} to {high} do not fit 16 bits")
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), BAND):  # in bands, for memory
        band = values[top : top + BAND]
        if image.mode == "F":
            grey[top : top + BAND] = np.round(band * 255.0)
        else:
            grey[top : top + BAND] = (band.astype(np.uint32) + 128) // 257
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
