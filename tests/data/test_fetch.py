"""Downloads that are cut, damaged, changed or gone."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from dermasense.data.fetch import NAMES, data_set, download
from dermasense.data.fetch.dataset import Remote
from dermasense.errors import DermaSenseError
from tests.data.file_server import serving

BODY = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


@pytest.fixture(scope="module")
def server():
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch, server):
    monkeypatch.setattr(download, "WAIT", 0.0)
    server.files.clear()
    server.requests.clear()


def get(url, folder, checksum=MD5, *more):
    return download.fetch_file(Remote("a.bin", (url, *more), checksum), folder)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_checked_and_not_asked_for_again(server, tmp_path):
    url = server.put("/a", BODY)
    assert get(url, tmp_path).read_bytes() == BODY
    get(url, tmp_path)
    assert server.ranges("/a") == [None] and left(tmp_path) == ["a.bin"]


def test_a_cut_download_goes_on_where_it_was_cut(server, tmp_path):
    url = server.put("/a", BODY, cuts=[100_000, 50_000])
    assert get(url, tmp_path).read_bytes() == BODY
    first, second = (int(asked[6:-1]) for asked in server.ranges("/a")[1:])
    assert 80_000 < first <= 100_000 and first + 30_000 < second <= first + 50_000
    assert left(tmp_path) == ["a.bin"]


def test_a_later_call_goes_on_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    url = server.put("/a", BODY, cuts=[120_000])
    with pytest.raises(download.NotFetched, match=r"0\.1 MB are kept"):
        get(url, tmp_path)
    assert not (tmp_path / "a.bin").exists()
    assert get(url, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 2 and server.ranges("/a")[1] > "bytes=100000-"


def test_a_download_that_was_whole_when_killed_is_taken(server, tmp_path):
    url = server.put("/a", BODY)
    part = tmp_path / ".a.bin.part"
    part.write_bytes(BODY)
    download.write_json(
        part.with_name(".a.bin.part.json"), {"url": url, "version": '"v1"', "size": len(BODY)}
    )
    assert get(url, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("change", ["etag", "length", "no etag, length", "no ranges", "address"])
def test_two_versions_are_never_joined(server, tmp_path, monkeypatch, change):
    monkeypatch.setattr(download, "TRIES", 1)
    etag = None if "no etag" in change else '"v1"'
    old = server.put("/old", BODY[::-1], cuts=[90_000], etag=etag)
    with pytest.raises(download.NotFetched):
        get(old, tmp_path)
    monkeypatch.setattr(download, "TRIES", 3)
    body = BODY[:-5] if "length" in change else BODY
    new_etag = etag if "length" in change else '"v2"'
    path = "/new" if change == "address" else "/old"
    url = server.put(path, body, etag=new_etag, ranges=change != "no ranges")
    assert get(url, tmp_path, None).read_bytes() == body


def test_a_server_that_cuts_for_ever_at_one_place_is_given_up(server, tmp_path):
    url = server.put("/a", BODY, cuts=[50_000] * 99, ranges=False)
    with pytest.raises(download.NotFetched, match="the connection was cut 5 times"):
        get(url, tmp_path)
    assert len(server.requests) == 5


def test_one_that_cuts_often_but_goes_on_is_followed_to_the_end(server, tmp_path):
    url = server.put("/a", BODY, cuts=[20_000] * 14)
    assert get(url, tmp_path).read_bytes() == BODY


def test_a_damaged_file_is_downloaded_once_more(server, tmp_path, capsys):
    url = server.put("/a", BODY, corrupt=1)
    assert get(url, tmp_path).read_bytes() == BODY
    assert "damaged" in capsys.readouterr().err


def test_a_file_that_stays_damaged_is_refused_and_removed(server, tmp_path):
    url = server.put("/a", BODY, corrupt=9)
    with pytest.raises(download.NotFetched, match="another checksum than the one published"):
        get(url, tmp_path)
    assert left(tmp_path) == []


def test_a_damaged_file_that_lies_there_is_replaced(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY[:-1])
    assert get(server.put("/a", BODY), tmp_path).read_bytes() == BODY


def test_trouble_is_waited_out(server, tmp_path):
    assert get(server.put("/a", BODY, statuses=[503, 429]), tmp_path).read_bytes() == BODY


def test_what_is_gone_is_looked_for_at_the_second_address(server, tmp_path):
    second = server.put("/second", BODY)
    assert get(f"{server.address}/gone", tmp_path, MD5, second).read_bytes() == BODY


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (None, "answered HTTP 404"),
        ({"statuses": [403] * 9}, "answered HTTP 403"),
        ({"statuses": [503] * 9}, "HTTP 503 5 times"),
        ({"kind": "text/html; charset=utf-8"}, "a web page instead of the file"),
    ],
)
def test_what_cannot_be_had_says_why(server, tmp_path, options, reason):
    url = f"{server.address}/a" if options is None else server.put("/a", BODY, **options)
    with pytest.raises(download.NotFetched, match=reason):
        get(url, tmp_path, None)
    assert not (tmp_path / "a.bin").exists()


def test_without_a_network_the_sentence_says_what_to_do_by_hand(tmp_path):
    ham = data_set("ham10000")
    remotes = tuple(replace(r, urls=("http://127.0.0.1:9/x",)) for r in ham.remotes)
    with pytest.raises(DermaSenseError) as failure:
        download.fetch(replace(ham, remotes=remotes), tmp_path / "downloads")
    words = ("cannot be reached", "HAM10000_images_part_2.zip", ham.page, str(tmp_path), "source=")
    assert all(word in str(failure.value) for word in words)


def test_files_put_there_by_hand_need_no_network(tmp_path):
    ham = data_set("ham10000")
    remotes = tuple(replace(r, urls=("http://127.0.0.1:9/x",), checksum=MD5) for r in ham.remotes)
    for remote in remotes:
        (tmp_path / remote.name).write_bytes(BODY)
    assert download.fetch(replace(ham, remotes=remotes), tmp_path) == tmp_path


def test_empty_files_of_a_killed_call_are_removed(tmp_path):
    (tmp_path / "tmpabc").touch()
    (tmp_path / "tmp_of_mine.csv").write_text("x")
    download.fetch(replace(data_set("ham10000"), remotes=()), tmp_path)
    assert left(tmp_path) == [".lock", "tmp_of_mine.csv"]


def test_two_downloads_into_one_folder_keep_apart(tmp_path):
    ham = replace(data_set("ham10000"), remotes=())
    with (
        download._alone(tmp_path),
        pytest.raises(DermaSenseError, match="another process is downloading"),
    ):
        download.fetch(ham, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_set_says_where_it_is_from(name):
    chosen = data_set(name)
    assert chosen.name == name and chosen.licence and chosen.citation
    assert chosen.page.startswith("https://") and "https://" in chosen.by_hand
    assert not chosen.by_hand.endswith(".")
    for remote in chosen.remotes:
        assert all(url.startswith("https://") for url in remote.urls)
        if remote.checksum:
            kind, _, digest = remote.checksum.partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[kind]
