"""DICOM pictures of visible light: dermoscopy and clinical photographs, not radiology.

Single frames of MONOCHROME1 and 2, RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT and PALETTE COLOR
(DICOM PS3.3, C.7.6.3.1.2), uncompressed or compressed. What would need a choice by eye (several
frames, signed values, rescaling) is refused.
"""

import functools
import io
import logging
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from dermasense.data.preprocess import (
    BAND,
    UnreadableHere,
    UnreadableImage,
    refuse_pixels,
    refuse_scans,
)

PHOTOMETRIC = (
    "MONOCHROME1",
    "MONOCHROME2",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
    "PALETTE COLOR",
)
# Decoders that may run in this process. On some damaged frames of 64 x 48 pixels gdcm aborts the
# whole process and pyjpegls (CharLS) takes 20 seconds: neither is asked.
DECODERS = ("pydicom", "pillow", "pylibjpeg")
# What to install for a transfer syntax, by the start of its name.
PLUGINS = {
    "JPEG 2000": "pip install pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput": "pip install pylibjpeg pylibjpeg-openjpeg",
    "JPEG": "pip install pylibjpeg pylibjpeg-libjpeg (its licence is GPL), or save it uncompressed",
}
NEEDED = "pip install pydicom pylibjpeg pylibjpeg-openjpeg"
DEFLATED = "1.2.840.10008.1.2.1.99"
META = 132  # where the file's meta elements begin (PS3.10)


def read_dicom(
    stream: BinaryIO, max_pixels: int, name: str, admit: Callable[[int], None]
) -> Image.Image:
    """The picture of a DICOM file, 8 bits, mode L or RGB.

    Values of other depths are scaled from 0 .. 2^bits - 1; MONOCHROME1 is turned to light on dark;
    a window is applied where there is one.

    Args:
        stream: the file, open and seekable.
        max_pixels: refuse larger pictures, before anything is decoded.
        name: what to call the file.
        admit: called with the number of pixels before they are decoded.

    Raises:
        UnreadableImage: what is refused, and why; a plug-in that is missing, with its name.
        Exception: pydicom's own, on damaged files.
    """
    pydicom = _pydicom(name)
    if _transfer_syntax(pydicom, stream) == DEFLATED:  # it would be inflated as a whole, unbounded
        raise UnreadableImage(name, "is deflated DICOM; save it in another transfer syntax")
    stream.seek(0)
    data = pydicom.dcmread(stream)
    _refuse(data, max_pixels, name)
    admit(int(data.Rows) * int(data.Columns))
    from pydicom.pixels import apply_color_lut, apply_voi_lut

    values = _decoded(data, name)
    photometric = data.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        colours = apply_color_lut(values, data)
        if colours.dtype.itemsize > 1:  # 8-bit colours stand in the upper byte, too
            colours = colours >> 8
        return Image.fromarray(colours.astype(np.uint8)[..., :3])
    full = 2 ** int(data.BitsStored) - 1
    if photometric.startswith("MONOCHROME") and "WindowCenter" in data:
        values = np.round(apply_voi_lut(values, data))
    return Image.fromarray(_in_8_bits(values, full, photometric == "MONOCHROME1"))


def _in_8_bits(values: np.ndarray, full: int, inverted: bool) -> np.ndarray:
    """Values 0 to `full`, those outside of it clipped, as uint8 of the same shape."""
    made = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), BAND):  # in bands, for memory
        band = np.clip(values[top : top + BAND], 0, full).astype(np.uint64)
        band = full - band if inverted else band
        made[top : top + BAND] = (band * 255 + full // 2) // full
    return made


@functools.cache
def _pydicom_or_none() -> ModuleType | None:
    try:
        import pydicom
        from pydicom import config
    except ImportError:
        return None
    # Odd values outside of the pixels are nobody's business here.
    config.settings.reading_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    for talkative in ("pydicom", "pylibjpeg", "openjpeg"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    return pydicom


def _pydicom(name: str) -> ModuleType:
    pydicom = _pydicom_or_none()
    if pydicom is None:
        raise UnreadableHere(name, f"is DICOM, which needs pydicom; type {NEEDED}")
    return pydicom


def _transfer_syntax(pydicom: ModuleType, stream: BinaryIO) -> str:
    stream.seek(META)
    meta = pydicom.filereader.read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group > 2
    )
    return str(meta.get("TransferSyntaxUID", ""))


def _refuse(data: Any, max_pixels: int, name: str) -> None:
    if "PixelData" not in data:
        kind = getattr(data.get("SOPClassUID"), "name", "") or "unknown kind"
        raise UnreadableImage(name, f"is DICOM without a picture ({kind}); remove it")
    refuse_pixels((int(data.Columns), int(data.Rows)), max_pixels, name)
    frames = int(data.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadableImage(
            name, f"is DICOM of {frames} frames; save the one to be read as a file of its own"
        )
    photometric = data.get("PhotometricInterpretation")
    if photometric not in PHOTOMETRIC:
        raise UnreadableImage(
            name,
            f"has the photometric interpretation {photometric}, which is not read; save it as RGB",
        )
    for key, plain in (("PixelRepresentation", 0), ("RescaleSlope", 1), ("RescaleIntercept", 0)):
        if float(data.get(key) or plain) != plain:
            raise UnreadableImage(
                name, f"is no photograph ({key} {data.get(key)}); save it as 8-bit RGB"
            )
    for key in ("ModalityLUTSequence", "VOILUTSequence"):
        if key in data:
            raise UnreadableImage(name, f"has a {key}, which is not read; save it as 8-bit RGB")


def _decoded(data: Any, name: str) -> np.ndarray:
    """Values as they are stored, YBR turned to RGB, by the first decoder that can."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder, pixel_array

    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return pixel_array(data)
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:
        raise UnreadableImage(
            name, f"is DICOM compressed as {syntax.name}, which is not read; save it uncompressed"
        ) from None
    plugins = [plugin for plugin in DECODERS if plugin in available]
    if not plugins:
        words = next((w for start, w in PLUGINS.items() if syntax.name.startswith(start)), NEEDED)
        raise UnreadableHere(name, f"is DICOM compressed as {syntax.name}; to read it type {words}")
    stated = (int(data.Columns), int(data.Rows))
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    refuse_scans(frame, name)
    inside = _coded_size(frame)
    if inside is not None and inside != stated:
        raise UnreadableImage(
            name,
            f"says {stated[0]} x {stated[1]} pixels but holds a picture of {inside[0]} x "
            f"{inside[1]}; save it again",
        )
    for plugin in plugins[:-1]:
        try:
            return pixel_array(data, decoding_plugin=plugin)
        except Exception:
            continue
    return pixel_array(data, decoding_plugin=plugins[-1])


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in the header of the compressed frame; None where it has none."""
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
            return image.size
    except Image.UnidentifiedImageError:
        return None
