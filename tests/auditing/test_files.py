"""Facts of files are read from those that can be decoded; the others may be traps."""

import os

from PIL import Image

from dermasense.auditing import files
from tests.auditing.planted import scene, subject


def test_no_header_of_a_refused_file_is_opened(tmp_path, monkeypatch):
    what = subject(tmp_path, [scene(0), None, b"no picture"])
    os.mkfifo(tmp_path / "0001.jpg")
    opened, real = [], Image.open

    def spy(path, **options):
        opened.append(os.path.basename(path))
        return None if path.endswith("0001.jpg") else real(path, **options)  # it would wait

    assert set(what.store.unreadable) == {1, 2}
    monkeypatch.setattr(files.Image, "open", spy)
    assert what.facts["format"].fillna("").tolist() == ["JPEG", "", ""]
    assert opened == ["0000.jpg"]
