"""A JPEG of more scans than any encoder makes is refused before it is decoded."""

import io

import numpy as np
import pytest
from PIL import Image

from dermasense.data.jpeg_scans import MOST_SCANS
from dermasense.data.preprocess import UnreadableImage, read_rgb
from tests.data.dicom_files import dicom_file

SOS = b"\xff\xda"


def progressive(scans: int, segment: bytes = b"", behind: bytes = b"") -> bytes:
    """A grey JPEG of so many scans: its last one, of refinement, as often as needed."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(SOS) : -2]
    again = last * (scans - data.count(SOS))
    return data[:2] + segment + data[2:-2] + again + data[-2:] + behind


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", lambda self: pytest.fail("read"))
    for scans in (MOST_SCANS + 1, 2000):
        with pytest.raises(UnreadableImage, match=r"a\.jpg: a JPEG of more than 100 scans.*again"):
            read_rgb(progressive(scans), name="a.jpg")


def test_so_many_as_are_allowed_are_read():
    data = progressive(MOST_SCANS)
    assert data.count(SOS) == MOST_SCANS and read_rgb(data).size == (64, 48)


def test_what_looks_like_a_scan_but_is_none_does_not_count():
    comment = b"\xff\xfe" + (2 + 2 * 400).to_bytes(2) + 400 * SOS
    plain = read_rgb(progressive(6)).tobytes()
    data = progressive(6, segment=comment, behind=400 * SOS)  # a phone's film follows the picture
    assert data.count(SOS) > MOST_SCANS
    assert read_rgb(data).tobytes() == plain


def test_a_dicom_that_holds_such_a_jpeg_is_refused():
    pytest.importorskip("pydicom")
    grey = np.asarray(read_rgb(progressive(6)).convert("L"))
    assert read_rgb(dicom_file(grey, frame=progressive(6))).size == (64, 48)
    with pytest.raises(UnreadableImage, match="more than 100 scans"):
        read_rgb(dicom_file(grey, frame=progressive(2000)))
