"""How often a JPEG goes through its whole picture, known before it is decoded.

A progressive JPEG paints its picture in scans, and a scan of some bytes takes the time of a whole
picture. Encoders make about ten; a small file of thousands was made to keep a decoder busy.
"""

import re

MOST_SCANS = 100  # libtiff's limit, too
SOI = b"\xff\xd8"  # how a JPEG begins
_SOS, _EOI = 0xDA, 0xD9
# Markers of a segment with a length, and the end; TEM, RST and SOI stand alone and are passed over.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")


def has_many_scans(data: bytes) -> bool:
    """Whether `data` begins with a JPEG of more than MOST_SCANS scans."""
    if not data.startswith(SOI):
        return False
    # What looks like a marker may be part of a segment, or of a film behind the picture.
    return data.count(bytes((0xFF, _SOS))) > MOST_SCANS and _scans(data) > MOST_SCANS


def _scans(data: bytes) -> int:
    """Start-of-scan markers up to the end of the picture (ITU-T T.81, B.1.1 and B.2)."""
    count, at = 0, 2
    while found := _MARKER.search(data, at):
        kind, at = data[found.end() - 1], found.end()
        if kind == _EOI:
            break
        count += kind == _SOS
        at += int.from_bytes(data[at : at + 2])
    return count
