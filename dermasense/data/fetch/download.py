"""Downloads that go on where they were cut: a downloader for pooch, which checks and renames."""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests

from dermasense.data.fetch.dataset import DataSet, Remote
from dermasense.errors import DermaSenseError
from dermasense.files import write_json

try:
    import fcntl
except ImportError:  # not on Windows: there two downloads into one folder are the person's to avoid
    fcntl = None

Progress = Callable[[str, int, int | None], None]  # name, bytes done, bytes in all

CHUNK = 1 << 14  # what a cut loses at most: a chunk that is not whole never arrives
TRIES = 5  # in a row without one new byte; a server that cuts but goes on is followed to the end
WAIT = 1.0  # seconds before the second try, doubled for each later one
TIMEOUT = (5.0, 30.0)  # seconds to connect, and between two reads
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class NotFetched(DermaSenseError):
    """A file that could not be had; the text says why, the caller adds what to do by hand."""


class Unreachable(NotFetched):
    """Not one byte came: another address of the same file would fare no better."""


def fetch(data_set: DataSet, folder: Path) -> Path:
    """Downloads what is not yet in `folder`, checks it, and returns the folder.

    A file that is there already (put there by hand, or by an earlier call) is checked and kept.

    Raises:
        DermaSenseError: something could not be had; says which files to put where by hand.
    """
    try:
        with _alone(folder):
            for remote in data_set.remotes:
                fetch_file(remote, folder)
    except NotFetched as error:
        raise DermaSenseError(f"{error}: {instructions(data_set, folder)}") from None
    if not data_set.remotes and not _files(folder):
        raise DermaSenseError(
            f"data={data_set.name} cannot be fetched by a program: {instructions(data_set, folder)}"
        )
    return folder


def instructions(data_set: DataSet, folder: Path) -> str:
    """What to do by hand: the page, the files, the folder."""
    return (
        f"{data_set.by_hand}, put the files into {folder}, and run this command again (or type "
        "source=<folder or zip> where you have them already)."
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second process from writing into the same part files.

    Raises:
        DermaSenseError: there is another, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as handle:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in folder.glob("tmp*"):  # pooch's, empty, of a call that was killed
                if path.stat().st_size == 0:
                    path.unlink()
            yield
    except BlockingIOError:
        raise DermaSenseError(
            f"another process is downloading into {folder}; wait for it, or choose another "
            "root=<folder>."
        ) from None
    except OSError as error:
        raise DermaSenseError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another "
            "root=<folder>."
        ) from None


def fetch_file(remote: Remote, folder: Path, progress: Progress | None = None) -> Path:
    """One file, from the first of its URLs that has it.

    Raises:
        NotFetched: no connection, no such file, cut too often, or other bytes than published.
    """
    pooch.get_logger().setLevel("WARNING")  # its lines name temporary files
    error: NotFetched | None = None
    for url in remote.urls:
        try:
            return _retrieve(remote, url, folder, progress or byte_counter())
        except Unreachable:
            raise
        except NotFetched as failure:
            error = error or failure
    raise error or NotFetched(f"{remote.name} has no address")


def _retrieve(remote: Remote, url: str, folder: Path, progress: Progress) -> Path:
    get = Resuming(folder / f".{remote.name}.part", remote.name, progress)
    for attempt in (1, 2):
        try:
            return Path(pooch.retrieve(url, remote.checksum, remote.name, folder, downloader=get))
        except ValueError:  # pooch's word for another checksum; it has deleted the file
            if attempt == 1:
                print(f"{remote.name}: damaged, downloading it once more", file=sys.stderr)
        except OSError as error:
            full = error.errno == errno.ENOSPC
            reason = "the disk is full" if full else error.strerror or str(error)
            raise DermaSenseError(f"{folder}: cannot write {remote.name} ({reason}).") from None
    raise NotFetched(
        f"{remote.name} from {url} has another checksum than the one published "
        f"({remote.checksum}), twice"
    )


class Resuming:
    """Downloads to a part file that survives a kill, then moves it to where pooch wants it.

    The part file is taken up with an HTTP Range, and If-Range where the server names the version
    of its file, so that two versions are never joined.

    Args:
        part: the part file; its address, version and length are kept beside it.
        name: for messages.
        progress: called with name, bytes done, bytes in all.
    """

    def __init__(self, part: Path, name: str, progress: Progress):
        self.part = part
        self.state = part.with_name(part.name + ".json")
        self.name = name
        self.progress = progress

    def __call__(
        self, url: str, output_file: str, pooch: object = None, check_only: bool = False
    ) -> None:
        """What pooch calls."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        failures, begun = 0, self._size()
        best = begun
        while True:
            try:
                self._get(url)
                break
            except requests.RequestException as error:
                if _is_unreachable(error) and self._size() == begun:
                    host = urlsplit(url).netloc
                    raise Unreachable(f"{host} cannot be reached ({_reason(error)})") from None
                failures = 1 if self._size() > best else failures + 1
                best = max(best, self._size())
                if failures >= TRIES:
                    raise NotFetched(self._given_up(url, error)) from None
                time.sleep(WAIT * 2 ** (failures - 1))
        os.replace(self.part, output_file)
        self.state.unlink(missing_ok=True)

    def _get(self, url: str) -> None:
        known = self._known(url)
        start = self._size() if known else 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "dermasense"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if known.get("version"):
                headers["If-Range"] = known["version"]
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:  # the part is as long as the file, or longer
                if start != known.get("size"):
                    self.part.unlink()
                    raise requests.ConnectionError("the part did not fit")
                return
            self._check(url, answer)
            total = _total(answer)
            if answer.status_code == 206 and not _continues(answer, start, known):
                self.part.unlink()
                raise requests.ConnectionError("the part did not fit")
            if answer.status_code != 206:  # the first time, or another version of the file
                start = 0
                self._remember(url, answer, total)
            with open(self.part, "ab" if start else "wb") as handle:
                self.progress(self.name, start, total)
                for chunk in answer.iter_content(CHUNK):
                    handle.write(chunk)
                    self.progress(self.name, handle.tell(), total)
        if total is not None and self._size() < total:
            raise requests.ConnectionError("the connection ended early")

    def _check(self, url: str, answer: requests.Response) -> None:
        if answer.status_code in _AGAIN:
            raise requests.ConnectionError(f"HTTP {answer.status_code}")
        if not answer.ok:
            raise NotFetched(f"{self.name}: {url} answered HTTP {answer.status_code}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise NotFetched(f"{self.name}: {url} answered with a web page instead of the file")

    def _known(self, url: str) -> dict[str, Any]:
        """What is known of the part file; nothing where it is of another address."""
        try:
            known = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) and known.get("url") == url else {}

    def _remember(self, url: str, answer: requests.Response, total: int | None) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        version = answer.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # a weak one may not stand in If-Range
            version = answer.headers.get("Last-Modified", "")
        if total is not None:
            write_json(self.state, {"url": url, "version": version, "size": total})

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _given_up(self, url: str, error: Exception) -> str:
        done = self._size()
        kept = f"; {done / 1e6:,.1f} MB are kept, so running it again goes on" if done else ""
        reason = str(error) if str(error).startswith("HTTP ") else "the connection was cut"
        return f"{self.name} could not be downloaded from {url} ({reason} {TRIES} times{kept})"


def byte_counter() -> Progress:
    """A line that counts on a terminal; a line at the start and the end in a pipe."""
    last = {"time": 0.0, "begun": time.monotonic(), "from": -1}

    def show(name: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if last["from"] < 0:
            last.update({"from": done, "begun": now})
            of = f" ({total / 1e6:,.1f} MB)" if total else ""
            print(f"downloading {name}{of}", file=sys.stderr, flush=True)
        if not sys.stderr.isatty() or (now - last["time"] < 0.3 and done != total):
            return
        last["time"] = now
        speed = (done - last["from"]) / 1e6 / max(now - last["begun"], 1e-3)
        share = f"{100 * done / total:5.1f} %" if total else f"{done / 1e6:,.1f} MB"
        end = "\n" if done == total else ""
        print(f"\r\033[K  {share}  {speed:,.1f} MB/s", end=end, file=sys.stderr, flush=True)

    return show


def _is_unreachable(error: Exception) -> bool:
    """No connection at all, as against one that broke or a server in trouble."""
    return isinstance(error, requests.ConnectionError) and "Max retries exceeded" in str(error)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted here"
    return "is there a network?"


def _total(answer: requests.Response) -> int | None:
    """Length of the whole file; None where the server does not say, or packs what it sends."""
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        return None
    if answer.status_code == 206:
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = answer.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None


def _continues(answer: requests.Response, start: int, known: dict[str, Any]) -> bool:
    """Whether a 206 is what follows the part file, of the same file."""
    content_range = answer.headers.get("Content-Range", "")
    return content_range.startswith(f"bytes {start}-") and _total(answer) == known.get("size")


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
