"""The prepare command as a person meets it."""

import csv
import functools
import hashlib
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import pytest

from dermasense import prepare
from dermasense.data.catalog import check
from dermasense.data.fetch import NAMES, download, ham10000
from dermasense.data.fetch.dataset import Remote
from dermasense.data.sources import ham10000 as source
from dermasense.data.sources import isic2018
from tests import fakes
from tests.data.file_server import serving

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def command(call_command, here, monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0.0)
    return functools.partial(call_command, prepare)


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """HAM10000 of noise on a local server, in the publisher's files; returns the server."""
    place = fakes.fake_ham(tmp_path / "publisher", per_class=2)
    parts = [tmp_path / f"HAM10000_images_part_{n}.zip" for n in (1, 2)]
    for number, path in enumerate(parts):
        with zipfile.ZipFile(path, "w") as archive:
            for picture in sorted((place / "images").iterdir())[number::2]:
                archive.write(picture, picture.name)
    with serving() as server:
        remotes = []
        for path in (place / "HAM10000_metadata.csv", *parts):
            body = path.read_bytes()
            url = server.put(f"/{path.name}", body)
            remotes.append(Remote(path.name, (url,), "md5:" + hashlib.md5(body).hexdigest()))
        chosen = replace(ham10000.SET, remotes=tuple(remotes), images=14)
        monkeypatch.setattr(ham10000, "SET", chosen)
        yield server


def test_it_fetches_and_what_it_makes_is_read_by_training(command, publisher, tmp_path):
    publisher.files["/HAM10000_images_part_2.zip"].cuts = [20_000]
    code, out, err = command("data=ham10000")
    assert code == 0, err
    root = tmp_path / "here" / "data" / "ham10000"
    assert check(source.catalog(str(root))) == []
    assert out.count("CC BY-NC 4.0") == 1 and out.count("Sci Data") == 1
    assert "14 images in 14 groups" in out and "data=ham10000 data.root=data/ham10000" in out
    assert "The publisher's set" not in out
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["data"]  # nothing of Hydra's
    asked = len(publisher.requests)
    code, out, _ = command("data=ham10000")
    assert code == 0 and "prepared already: 14 images" in out
    assert len(publisher.requests) == asked


def test_what_was_fetched_before_a_failure_is_not_fetched_again(command, publisher, tmp_path):
    del publisher.files["/HAM10000_images_part_2.zip"]
    code, _, err = command("data=ham10000", f"root={tmp_path / 'r'}")
    assert code == 2 and "HTTP 404" in err and "https://doi.org/10.7910/DVN/DBW86T" in err
    assert not (tmp_path / "r" / "images").exists()
    body = (tmp_path / "HAM10000_images_part_2.zip").read_bytes()
    publisher.put("/HAM10000_images_part_2.zip", body)
    assert command("data=ham10000", f"root={tmp_path / 'r'}")[0] == 0
    assert publisher.ranges("/HAM10000_images_part_1.zip") == [None]


def test_own_files_need_no_network(command, tmp_path, monkeypatch):
    place = fakes.fake_ham(tmp_path / "my files (old), 1", per_class=1)
    gone = tuple(replace(r, urls=(NOWHERE,)) for r in ham10000.SET.remotes)
    monkeypatch.setattr(ham10000, "SET", replace(ham10000.SET, remotes=gone))
    root = tmp_path / "made here, too"
    code, out, err = command("data=ham10000", f"source={place}", f"data.root={root}")
    assert code == 0, err
    assert "7 images in 7 groups" in out and "The publisher's set has 10,015 images" in out
    assert len(source.catalog(str(root)).frame) == 7


def test_a_test_set_says_that_it_is_one(command, tmp_path):
    place = fakes.fake_isic2018(tmp_path / "mine")
    code, out, err = command("data=isic2018", f"source={place}")
    assert code == 0, err
    assert "For evaluation only" in out
    assert len(isic2018.catalog("data/isic2018").frame) == 7


def test_without_a_network_it_says_what_to_do_in_seconds(command, monkeypatch):
    gone = tuple(replace(r, urls=(f"{NOWHERE}/x",)) for r in ham10000.SET.remotes)
    monkeypatch.setattr(ham10000, "SET", replace(ham10000.SET, remotes=gone))
    begun = time.monotonic()
    code, _, err = command("data=ham10000")
    assert code == 2 and time.monotonic() - begun < 5
    for word in ("127.0.0.1:9 cannot be reached", "HAM10000_images_part_1.zip", "data/ham10000/do"):
        assert word in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["ddi", "fitzpatrick21"])
def test_what_a_form_stands_before_is_explained(command, name):
    code, out, err = command(f"data={name}")
    assert code == 2 and "Licence: " in out
    assert f"put the files into data/{name}/downloads" in err and "https://" in err
    assert len(err.strip().splitlines()) == 1


def test_files_put_by_hand_into_downloads_are_taken(command, tmp_path):
    downloads = tmp_path / "here" / "data" / "ddi" / "downloads"
    fakes.noise(downloads / "000001.png", seed=1)
    with open(downloads / "ddi_metadata.csv", "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["DDI_ID", "DDI_file", "skin_tone", "malignant", "disease"])
        rows.writerow([1, "000001.png", 12, "True", "melanoma"])
    code, out, err = command("data=ddi")
    assert code == 0, err
    assert "1 images" in out and "data=csv data.attributes=[skin_tone,disease]" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "data= is needed, one of ham10000"),
        (["data=ham1000"], "did you mean 'ham10000'?"),
        (["data=ddi", "--multirun"], "does one thing at a time"),
        (["data=ham10000,ddi"], "is no data set to prepare"),
        (["data=csv"], "needs no preparation"),
        (["data=onehot"], "data=onehot needs no preparation: train with it as it is"),
        (["data=ddi", "sourc=x"], "did you mean 'source'?"),
        (["data=ddi", "source=/nowhere"], "source=/nowhere: no such folder or zip"),
        (["data=ddi", "source=/dev/null"], "expected a folder or a zip"),
        (["data=ddi", "source=."], "holds no ddi_metadata.csv"),
        (["data=ham10000", "root=/proc/x"], "/proc/x"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, tmp_path, words, sentence):
    code, _, err = command(*words)
    assert code == 2 and sentence in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("error: ")
    assert not list((tmp_path / "here").iterdir())


def test_a_root_that_holds_other_files_is_left_alone(command, tmp_path):
    place = fakes.fake_ham(tmp_path / "mine", per_class=1)
    code, _, err = command("data=ham10000", f"source={place}", f"root={place}")
    assert code == 2 and "read it as it is" in err


def test_a_root_that_cannot_be_written_is_named(command, tmp_path):
    place = fakes.fake_ham(tmp_path / "mine", per_class=1)
    (tmp_path / "file").write_text("no folder")
    for root in ("/proc/x", tmp_path / "file"):
        code, _, err = command("data=ham10000", f"source={place}", f"root={root}")
        assert code == 2 and str(root) in err and len(err.strip().splitlines()) == 1


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['prepare', '--help']\n"
        "from dermasense import prepare\n"
        "try: prepare.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'pooch', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in NAMES)
    assert "not a medical device" in done.stdout
