"""Opening a file that a stranger's table or folder names, without hanging on what is no file."""

import os
import stat
from typing import BinaryIO

MAX_BYTES = 2**30  # above any picture or table that fits the pixel limit


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device would block or never end.

    Raises:
        OSError: absent, not permitted, a folder, a pipe, socket or device, or larger than
            MAX_BYTES; `reason_of` gives the words.
    """
    # Not to wait for a pipe's writer, should the path become one after a look at it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise OSError("is a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise OSError("is no regular file but a pipe, socket or device")
        if status.st_size > MAX_BYTES:
            raise OSError(f"has {status.st_size:,} bytes, more than the limit of {MAX_BYTES:,}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def reason_of(error: OSError | ValueError) -> str:
    """Words for a file that could not be opened or read, such as "no such file"."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "no such file"
    if isinstance(error, IsADirectoryError):  # where the system opens no folder at all
        return "is a folder, not a file"
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


_BINARY = getattr(os, "O_BINARY", 0)
