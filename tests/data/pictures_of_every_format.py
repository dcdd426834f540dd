"""One small picture in every format and variant that is read, as bytes."""

import io

import numpy as np
from PIL import Image, ImageCms

from tests.data.dicom_files import COLOUR, GREY16, dicom_file

PICTURE = Image.fromarray(COLOUR)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    """Three frames: the picture, red, blue."""
    others = [Image.new("RGB", PICTURE.size, name) for name in ("red", "blue")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    return encoded(PICTURE, kind, save_all=True, append_images=others, duration=40, **lossless)


def variants() -> dict[str, list[bytes]]:
    """Files by format."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 1, "a description"
    extra = {"exif": exif, "icc_profile": PROFILE}
    palette, clear = PICTURE.quantize(32), PICTURE.convert("RGBA")
    deep = Image.fromarray(GREY16)
    return {
        "JPEG": [
            encoded(PICTURE, "JPEG", **extra),
            encoded(PICTURE, "JPEG", progressive=True),
            encoded(PICTURE.convert("CMYK"), "JPEG"),
        ],
        "PNG": [
            encoded(PICTURE, "PNG", **extra),
            encoded(palette, "PNG", transparency=0),
            encoded(clear, "PNG"),
            encoded(deep, "PNG"),
            animated("PNG"),
        ],
        "TIFF": [
            encoded(PICTURE, "TIFF", **extra),
            encoded(PICTURE, "TIFF", compression="tiff_lzw"),
            encoded(PICTURE, "TIFF", compression="jpeg"),
            encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
            animated("TIFF"),
        ],
        "WEBP": [encoded(PICTURE, "WEBP", **extra), encoded(clear, "WEBP", lossless=True)],
        "BMP": [encoded(PICTURE, "BMP"), encoded(palette, "BMP")],
        "GIF": [encoded(palette, "GIF", transparency=0), animated("GIF")],
        "PPM": [encoded(PICTURE, "PPM")],
    }


def dicom_variants() -> list[bytes]:
    """DICOM files, one a transfer syntax."""
    from pydicom import uid

    jpeg = encoded(PICTURE, "JPEG")
    return [
        dicom_file(COLOUR),
        dicom_file(GREY16),
        dicom_file(COLOUR, syntax=uid.RLELossless),
        dicom_file(COLOUR, syntax=uid.ImplicitVRLittleEndian),
        dicom_file(COLOUR, frame=jpeg, PhotometricInterpretation="YBR_FULL_422"),
        dicom_file(np.asarray(COLOUR[..., 0]), WindowCenter=128, WindowWidth=100),
    ]
