"""Bad pictures and folders: no crash, no hang, nothing lost in silence; each is named.

Every fault that random changes of bytes have found stands here as a small test of its own.
"""

import errno
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dermasense.data import prepared as prepared_module
from dermasense.data.prepared import prepare_data
from dermasense.data.preprocess import MAX_PIXELS, InputSpec, UnreadableImage, read_rgb
from dermasense.data.sources import folder
from dermasense.errors import DermaSenseError
from tests.data.pictures_of_every_format import (
    PICTURE,
    PROFILE,
    animated,
    dicom_variants,
    encoded,
    variants,
)
from tests.fakes import noise

SPEC = InputSpec(8, "squash", (0.5,) * 3, (0.5,) * 3)
SPLIT = {"by": "group", "seed": 0, "fractions": (0.7, 0.15, 0.15)}
VARIANTS = variants()


def prepare(root, tmp_path, on_error="skip", **options):
    catalog = folder.catalog(str(root), **options)
    return prepare_data(catalog, SPEC, cache_dir=tmp_path / "cache", on_error=on_error, split=SPLIT)


BOMB = encoded(Image.new("1", (20_000, 20_000)), "PNG")


BAD = {
    "cut.jpg": (VARIANTS["JPEG"][0][:-200], "truncated"),
    "empty.png": (b"", "is empty (0 bytes)"),
    "text.jpg": (b"a note of mine", "not a picture of a known format"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not a picture of a known format"),
    "bomb.png": (BOMB, "more pixels than the limit"),
    "Melanom d'été (1).jpg": (b"x", "not a picture"),
}


def test_every_bad_file_is_named_with_its_reason(two_classes, tmp_path):
    for name, (content, _) in BAD.items():
        (two_classes / "mel" / name).write_bytes(content)
    with pytest.raises(DermaSenseError) as caught:
        prepare(two_classes, tmp_path, on_error="raise")
    found = {row["origin"]: row["reason"] for row in prepare(two_classes, tmp_path).skipped}
    assert found.keys() == {f"mel/{name}" for name in BAD}
    for name, (_, words) in BAD.items():
        assert words in found[f"mel/{name}"]
        assert any(name in line and words in line for line in str(caught.value).splitlines())


def test_odd_but_whole_pictures_are_read(two_classes, tmp_path):
    (two_classes / "mel" / "renamed.png").write_bytes(
        VARIANTS["JPEG"][0]
    )  # content counts, not ending
    (two_classes / "mel" / "no ending").write_bytes(VARIANTS["TIFF"][0])
    (two_classes / "mel" / "ñandú 1.JPG").write_bytes(VARIANTS["WEBP"][0])
    Image.new("RGB", (1, 1), "red").save(two_classes / "mel" / "one.png")
    ready = prepare(two_classes, tmp_path, on_error="raise")
    assert len(ready.catalog.frame) == 16


def test_links_pipes_and_what_is_gone_are_named(two_classes, tmp_path):
    os.symlink(two_classes / "mel" / "loop.png", two_classes / "mel" / "loop.png")
    os.symlink(two_classes / "nowhere", two_classes / "mel" / "gone.png")
    os.mkfifo(two_classes / "mel" / "pipe.png")
    found = {row["origin"]: row["reason"] for row in prepare(two_classes, tmp_path).skipped}
    assert found == {
        "mel/loop.png": "is a link that leads to itself",
        "mel/gone.png": "no such file",
        "mel/pipe.png": "is a pipe or device, no picture",
    }


@pytest.mark.timeout(30)
def test_a_pipe_hangs_no_door(two_classes, tmp_path):
    os.mkfifo(two_classes / "mel" / "pipe.png")
    with pytest.raises(UnreadableImage, match="no regular file but a pipe"):
        read_rgb(two_classes / "mel" / "pipe.png")
    assert len(folder.catalog(str(two_classes), group="duplicates").frame) == 13


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/"])
def test_devices_and_folders_are_no_pictures(place):
    with pytest.raises(UnreadableImage, match=r"is no regular file|is a folder"):
        read_rgb(place)


def test_an_endless_file_is_refused_by_its_size(tmp_path):
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableImage, match="1,099,511,627,776 bytes, more than the limit"):
        read_rgb(tmp_path / "a.png")


def test_a_path_that_no_system_has_is_named():
    with pytest.raises(UnreadableImage, match="null byte"):
        read_rgb("a\0.png")


def test_a_file_without_permission_is_named(two_classes, tmp_path, monkeypatch):
    real = os.open

    def refuse(path, *rest, **options):
        if str(path).endswith("mel/3.png"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert [(row["origin"], row["reason"]) for row in prepare(two_classes, tmp_path).skipped] == [
        ("mel/3.png", "Permission denied")
    ]


def test_a_folder_without_permission_is_no_empty_folder(two_classes, monkeypatch):
    real = os.scandir

    def refuse(path):
        if str(path).endswith("/nv"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DermaSenseError, match=r"nv cannot be listed \(Permission denied\)"):
        folder.catalog(str(two_classes))


def test_a_file_that_vanishes_after_the_listing_is_named(two_classes, tmp_path, monkeypatch):
    real = prepared_module.missing_files

    def then_gone(frame):
        found = real(frame)
        (two_classes / "mel" / "2.png").unlink()
        return found

    monkeypatch.setattr(prepared_module, "missing_files", then_gone)
    assert prepare(two_classes, tmp_path).skipped[0]["reason"] == "no such file"


def test_pictures_outside_of_the_classes_are_named(two_classes):
    noise(two_classes / "stray.jpg", seed=1)
    with pytest.raises(DermaSenseError, match=r"1 pictures lie in .*\(first: stray\.jpg\)"):
        folder.catalog(str(two_classes))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    first = np.asarray(read_rgb(animated(kind))).astype(int)
    shown = 60 if kind == "GIF" else 0  # 256 colours
    assert np.abs(first - np.asarray(PICTURE)).max() <= shown


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "junk", [b"", b"junk", PROFILE[:50], b"\xff" * 300], ids=["empty", "junk", "cut", "ones"]
)
def test_a_corrupt_colour_profile_changes_no_pixel(kind, junk):
    options = {"lossless": True} if kind == "WEBP" else {}
    plain = read_rgb(encoded(PICTURE, kind, **options))
    marked = read_rgb(encoded(PICTURE, kind, icc_profile=junk, **options))
    assert plain.tobytes() == marked.tobytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "junk", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 60]
)
def test_corrupt_exif_changes_no_pixel(kind, junk):
    options = {"lossless": True} if kind == "WEBP" else {}
    plain = read_rgb(encoded(PICTURE, kind, **options))
    assert read_rgb(encoded(PICTURE, kind, exif=junk, **options)).tobytes() == plain.tobytes()


def chunk(tag: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def png(*chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def gif_beyond_its_screen() -> bytes:
    data = bytearray(encoded(Image.new("L", (7200, 7200)), "GIF"))
    data[6:10] = struct.pack("<HH", 10, 10)
    return bytes(data)


def bombs() -> dict[str, bytes]:
    inflated = zlib.compress(bytes(100_000_000), 1)
    vp8x = struct.pack("<I", 10) + b"\x02\0\0\0" + (16_382).to_bytes(3, "little") * 2
    extended = bytearray(animated("WEBP"))
    extended[16 : 16 + len(vp8x)] = vp8x
    return {
        "png": BOMB,
        "tiff": encoded(Image.new("1", (8_000, 8_000)), "TIFF", compression="group4"),
        "gif frame": gif_beyond_its_screen(),
        "webp": bytes(extended),
        "ppm": b"P5 20000 20000 255\n",
        "profile": png(chunk(b"iCCP", b"x\0\0" + inflated)),
        "text": png(chunk(b"zTXt", b"x\0\0" + inflated)),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="limits and measures memory as Linux does")
def test_bombs_are_refused_within_bounded_memory(tmp_path):
    files = bombs()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    program = """
import resource, sys
from dermasense.data.preprocess import UnreadableImage, read_rgb
with open("/proc/self/statm") as statm:
    now = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 600_000_000, now + 600_000_000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_rgb(path)
        print("read", path)
    except UnreadableImage as error:
        print("refused", error)
print("grown", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    paths = [str(tmp_path / name) for name in files]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in lines[:-1]] == ["refused"] * len(paths)
    assert int(lines[-1].split()[1]) < 150  # MiB; the frame of the GIF is 52 million pixels


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "drop", "insert", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, changes) -> bytes:
    for kind, where, content in changes:
        at = int(where * len(data))
        if kind == "set":
            data = data[:at] + content + data[at + len(content) :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + len(content) :]
        elif kind == "insert":
            data = data[:at] + content + data[at:]
        else:
            data = data[:at] + data[max(0, at - 40) :]
    return data


def reads_or_says_why(data: bytes) -> None:
    """Either door: an upright RGB picture within the limit, or one sentence."""
    try:
        image = read_rgb(io.BytesIO(data), name="picture")
    except UnreadableImage as error:
        assert str(error).startswith("picture: ") and "\n" not in str(error)
    else:
        assert image.mode == "RGB" and 0 < image.width * image.height <= MAX_PIXELS


few = settings(
    max_examples=40,
    deadline=5000,  # ms, for one picture of 64 x 48
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", VARIANTS)
@few
@given(data=st.data())
def test_changed_bytes_of_any_format(kind, data):
    picture = data.draw(st.sampled_from(VARIANTS[kind]))
    reads_or_says_why(changed(picture, data.draw(CHANGES)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(120)
def test_changed_bytes_of_dicom():
    pytest.importorskip("pydicom")
    files = dicom_variants()

    @few
    @given(picture=st.sampled_from(files), changes=CHANGES)
    def check(picture, changes):
        reads_or_says_why(changed(picture, changes))

    check()


@few
@given(data=st.binary(max_size=400))
def test_any_bytes(data):
    reads_or_says_why(data)


def test_a_webp_is_refused_by_its_header_before_it_is_opened(monkeypatch):
    data = bytearray(animated("WEBP"))
    data[24:30] = (16_382).to_bytes(3, "little") + (4_095).to_bytes(3, "little")
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UnreadableImage, match="16383 x 4096 pixels are more than the limit"):
        read_rgb(bytes(data))
