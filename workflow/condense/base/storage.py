"""Outputs appear whole or not at all: write beside the target, then rename."""

import errno
import fcntl
import glob
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from condense.base.errors import InputError
from condense.base.progress import say

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
UNLOCKABLE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # file systems mounted without locks
UMASK = os.umask(0)
os.umask(UMASK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; when the block ends without an error it takes the name of `path`.

    The bytes are on disk before the rename, so neither a crash nor a full disk leaves a half-written file.
    Raises InputError where the disk is full or may not be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            left.unlink()  # a process was killed while it wrote
        yield beside
        beside.chmod(0o666 & ~UMASK)  # some writers make files that only their owner can read
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except Exception as error:
        if reason := _refusal(error, path):
            raise InputError(
                f"{path} could not be written ({reason}): free space or allow writing there, then run again; "
                "nothing half-written is left."
            ) from None
        raise
    finally:
        with suppress(OSError):  # where nothing may be written there is nothing to remove
            beside.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; when the block ends without an error it takes the place of `path`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(left)  # a process was killed while it wrote
    beside.mkdir(parents=True)
    try:
        yield beside
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_writable(folder: Path) -> None:
    """Raise InputError for a folder in which nothing may be written."""
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} may not be written: give write access to it, or work in another folder.")


def _refusal(error: Exception, path: Path) -> str | None:
    """Why the disk refuses a file, whichever library tells it; None for any other error."""
    number = getattr(error, "errno", None)
    if number is None:  # HDF5 and safetensors say it in words
        found = re.search(r"(?:errno = |os error )(\d+)", str(error))
        number = found and int(found[1])
    elsewhere = getattr(error, "filename", None) and not str(error.filename).startswith(str(path.parent))
    return os.strerror(number) if number in REFUSALS and not elsewhere else None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder, which may not exist yet, for this process alone, by a file `{folder}.lock` beside it.

    However the process ends, the lock ends with it; the file stays and means nothing by itself.
    Raises InputError, which names the process that holds the lock, or says why the file cannot be written.
    """
    path = folder.with_name(f"{folder.name}.lock")
    descriptor = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # NFS locks only what is open for writing
        _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror}): free space or allow writing there."
        ) from None
    else:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    """Take the lock at once or not at all; say so where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 1000).decode() or "another process"
        raise InputError(
            f"{folder} is in use by {holder}: wait until that ends, or stop it; then run again."
        ) from None
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
        say(f"{folder} cannot be locked ({error.strerror}): see to it that this job runs only once")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
