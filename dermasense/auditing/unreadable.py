"""Files that are absent, cut short, no pictures, or not what their name says."""

from dataclasses import dataclass
from typing import ClassVar

from dermasense.auditing.finding import Finding
from dermasense.auditing.subject import Subject

SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".ppm": "PPM",
}  # fmt: skip


@dataclass(frozen=True)
class Unreadable:
    """Every file is decoded in full: a JPEG cut to 60 % opens well and is still broken.

    Misnamed files (a PNG called .jpg) are readable and only mentioned.
    """

    name: ClassVar[str] = "unreadable"
    title: ClassVar[str] = "Broken files"

    def __call__(self, subject: Subject) -> Finding:
        frame, facts = subject.frame, subject.facts
        rows = [
            {
                "image_id": str(frame["image_id"].iloc[row]),
                "label": str(frame["label"].iloc[row]),
                "reason": reason,
                "origin": str(frame["origin"].iloc[row]),
            }
            for row, reason in sorted(subject.store.unreadable.items())
        ]
        expected = facts["suffix"].map(SUFFIXES)
        # MPO is a JPEG with a second picture behind the first, as phones write it.
        formats = facts["format"].replace("MPO", "JPEG")
        named_wrong = formats.notna() & expected.notna() & (expected != formats)
        flat = subject.one_colour
        absent = sum(row["reason"] == "no such file" for row in rows)
        summary = [
            f"{len(rows)} of {len(frame):,} files cannot be read ({absent} of them do not exist); "
            "data.on_error=skip trains without them."
            if rows
            else f"All {len(frame):,} files can be decoded in full."
        ]
        if named_wrong.any():
            summary.append(f"{int(named_wrong.sum())} files have the suffix of another format.")
        if len(flat):
            summary.append(f"{len(flat)} pictures are of one colour.")
        ids = frame["image_id"].astype(str)
        information = {
            "unreadable": len(rows),
            "absent": absent,
            "misnamed": ids[named_wrong.to_numpy()].tolist(),
            "one_colour": ids.iloc[flat].tolist(),
        }
        return Finding(summary, rows, information, alarm=bool(rows or len(flat)))
