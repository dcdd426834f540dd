"""Decoding is bounded over all pictures at once, and what takes too long holds up no end."""

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from dermasense.data.preprocess import UnreadableImage
from dermasense.serving import decoding
from dermasense.serving.decoding import Decoding, Room
from tests.data.dicom_files import COLOUR, dicom_file
from tests.serving.sending import files, limited, picture


def test_threads_are_few_and_those_of_the_cores_that_are_ours(model, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    for cores, threads in ((1, 1), (3, 3), (64, 4)):
        monkeypatch.setattr(decoding, "usable_cores", lambda cores=cores: cores)
        assert Decoding(model, 100).threads._max_workers == threads
    monkeypatch.undo()
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5}, raising=False)
    assert decoding.usable_cores() == 1


def test_pixels_in_flight_stay_below_the_bound(model, monkeypatch):
    lock, now, most = threading.Lock(), [0], [0]
    right = type(model).pixels

    def slow(self, image, name=""):
        with lock:
            now[0] += image.width * image.height
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= image.width * image.height
        return right(self, image, name)

    monkeypatch.setattr(type(model), "pixels", slow)
    found, given = Decoding(model, 40 * 40), picture()
    threads = [threading.Thread(target=found.pixels, args=("a.png", given)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert most[0] == 2 * 40 * 40 and found.room.taken == 0


def test_a_picture_above_the_bound_goes_alone_and_is_not_passed_by_small_ones():
    room, order = Room(10), []

    def one(pixels):
        with room.place() as take:
            take(pixels)
            order.append((pixels, room.taken))

    with room.place() as take:
        take(4)
        large = threading.Thread(target=one, args=(50,))
        large.start()
        time.sleep(0.1)
        small = threading.Thread(target=one, args=(3,))
        small.start()
        time.sleep(0.1)
        assert not order
    large.join(10), small.join(10)
    assert order[0] == (50, 50) and order[1][0] == 3 and room.taken == 0


@pytest.mark.parametrize("kind", ["png", "dicom"])
def test_room_is_taken_before_a_picture_is_decoded(model, monkeypatch, kind):
    if kind == "dicom":
        pytest.importorskip("pydicom")
    height, width = COLOUR.shape[:2] if kind == "dicom" else (40, 40)
    given = dicom_file(COLOUR) if kind == "dicom" else picture()

    def full(pixels):
        raise UnreadableImage("full", f"no room for {pixels}")

    found = Decoding(model, 10_000)
    monkeypatch.setattr(found.room, "place", lambda: contextlib.nullcontext(full))
    with pytest.raises(UnreadableImage, match=f"no room for {height * width}$"):
        found.pixels("a", given)


def test_room_is_given_back_where_a_picture_is_broken(model):
    found = Decoding(model, 10_000)
    with pytest.raises(UnreadableImage):
        found.pixels("a.png", picture()[:200])
    assert found.room.taken == 0


def test_the_server_stops_while_a_picture_is_still_being_decoded(model, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(decoding, "read_rgb", lambda *_, **__: let_go.wait(20))
    try:
        with limited(model, answer_seconds=0.1) as client:
            assert client.post("/v1/predict", files=files(picture())).status_code == 503
            assert client.post("/v1/explain", files=files(picture())).status_code == 503
            began = time.monotonic()
        assert time.monotonic() - began < 10
    finally:
        let_go.set()


def test_the_process_ends_while_a_thread_still_works():
    program = (
        "import threading, time; from dermasense.serve import end_without_waiting\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('said'); end_without_waiting(0.1)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "said\n" and not ended.stderr
