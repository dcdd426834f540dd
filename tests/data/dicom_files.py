"""DICOM files that pydicom writes, of pictures that are known."""

import io

import numpy as np
from PIL import Image

_SMALL = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
COLOUR = np.asarray(Image.fromarray(_SMALL).resize((64, 48), Image.Resampling.BICUBIC))
GREY16 = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)


def dicom_file(array, *, syntax=None, frame=None, raw=b"", **tags) -> bytes:
    """The file of a picture.

    Args:
        array: (H, W) or (H, W, 3), uint8 or uint16.
        syntax: transfer syntax; None is uncompressed, or baseline JPEG where `frame` is given.
        frame: the compressed picture itself, for codecs that pydicom does not write.
        raw: bytes of the pixel data in place of the array's; None leaves them out.
        tags: any other DICOM elements.
    """
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    colour = array.ndim == 3
    bits = array.dtype.itemsize * 8
    data = Dataset()
    data.SOPClassUID = uid.VLPhotographicImageStorage
    data.SOPInstanceUID = uid.generate_uid(entropy_srcs=["test"])
    data.Rows, data.Columns = array.shape[:2]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    if colour:
        data.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    plain = uid.JPEGBaseline8Bit if frame is not None else uid.ExplicitVRLittleEndian
    syntax = data.file_meta.TransferSyntaxUID = syntax or plain
    if frame is not None:
        data.PixelData = encapsulate([frame])
        data["PixelData"].is_undefined_length = True
    elif raw is not None:
        big = syntax == uid.ExplicitVRBigEndian
        planes = array.transpose(2, 0, 1) if tags.get("PlanarConfiguration") else array
        content = raw or planes.astype(planes.dtype.newbyteorder(">" if big else "<")).tobytes()
        data.PixelData = content + b"\0" * (len(content) % 2)
        data["PixelData"].VR = "OW" if bits == 16 else "OB"
    if syntax.is_compressed and frame is None and syntax != uid.DeflatedExplicitVRLittleEndian:
        data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        data.compress(syntax, generate_instance_uid=False)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def as_png(array) -> bytes:
    """The PNG of the same picture."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()
