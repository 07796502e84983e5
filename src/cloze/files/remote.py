"""Folders on a local disk or an object store: ``s3://bucket/folder``, or any protocol of fsspec.

What names a file on this machine stays a `pathlib.Path`. A `RemotePath` has those of its methods that preparing and
training need, so that one piece of code serves both. An object of a store appears whole or not at all, and there are
no folders to make. Credentials, region and endpoint come from the environment and AWS's own configuration.
"""

import fnmatch
import glob
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from cloze.errors import InputError

CONNECT_SECONDS = 10
REQUEST_SECONDS = 30
ATTEMPTS = 3
"""A request to a store that does not answer ends after about `ATTEMPTS` times `REQUEST_SECONDS`."""


@dataclass(frozen=True, order=True)
class RemotePath:
    """A path on an object store. The methods are those of `pathlib.Path` and raise what they raise, `OSError`."""

    uri: str  # without a slash at its end

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str | os.PathLike[str]) -> "RemotePath":
        return RemotePath(f"{self.uri}/{os.fspath(name)}")

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def parent(self) -> "RemotePath":
        return RemotePath(self.uri.rpartition("/")[0])

    def exists(self) -> bool:
        return self._info().type is not fs.FileType.NotFound

    def is_file(self) -> bool:
        return self._info().type is fs.FileType.File

    def is_dir(self) -> bool:
        """Whether something lies below it: a store has no folders of its own."""
        return self._info().type is fs.FileType.Directory

    def size(self) -> int:
        """Bytes of the object."""
        info = self._info()
        if info.type != fs.FileType.File:
            raise FileNotFoundError(2, "does not exist", self.uri)
        return int(info.size)

    def modified(self) -> int:
        """When it was written, in seconds since 1970; 0 where the store does not say."""
        return int((self._info().mtime_ns or 0) // 1_000_000_000)

    def open(self) -> pa.NativeFile:
        """Opens it for reading from any byte on."""
        with self._store() as (store, path):
            return store.open_input_file(path)

    def open_stream(self) -> pa.NativeFile:
        """Opens it for reading from its beginning."""
        with self._store() as (store, path):
            return store.open_input_stream(path, compression=None)

    def read_bytes(self) -> bytes:
        with self._store() as (store, path), store.open_input_file(path) as stream:
            return bytes(stream.readall())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write(self, data: bytes | pa.Buffer) -> None:
        """Writes the object; a reader sees the one before, or this one whole."""
        with self._store() as (store, path), store.open_output_stream(path, compression=None) as stream:
            stream.write(data)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Objects right below it (or, after ``**/``, anywhere below) whose name matches, sorted."""
        deep = pattern.startswith("**/")
        with self._store() as (store, path):
            found = store.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=deep))
            files = sorted(
                info.path.strip("/")[len(path.strip("/")) + 1 :] for info in found if info.type == fs.FileType.File
            )
        for file in files:
            if fnmatch.fnmatchcase(file, pattern) or (deep and fnmatch.fnmatchcase(file, pattern[3:])):
                yield self / file

    def unlink(self, missing_ok: bool = False) -> None:
        with self._store() as (store, path):
            try:
                store.delete_file(path)
            except FileNotFoundError:
                if not missing_ok:
                    raise
            except OSError:  # Arrow then puts an empty object in place of the folder, which some stores refuse
                if store.get_file_info(path).type != fs.FileType.NotFound:
                    raise

    def remove_folder(self) -> None:
        """Removes everything below it."""
        with self._store() as (store, path):
            if store.get_file_info(path).type != fs.FileType.Directory:
                return
            try:
                store.delete_dir(path)  # a thousand at once
                return
            except OSError:  # not every store can
                pass
        for file in self.glob("**/*"):
            file.unlink(missing_ok=True)

    def fetch(self, target: Path) -> None:
        """Copies the object into a file of this machine."""
        with self.open_stream() as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
            sink.flush()
            os.fsync(sink.fileno())

    def _info(self) -> fs.FileInfo:
        with self._store() as (store, path):
            return store.get_file_info(path)

    @contextmanager
    def _store(self) -> Iterator[tuple[fs.FileSystem, str]]:
        """The store and the path in it; its errors name this path in one sentence."""
        try:
            yield _store(self.uri.partition("://")[0]), self.uri.partition("://")[2]
        except FileNotFoundError as error:
            raise FileNotFoundError(2, "does not exist", self.uri) from error
        except OSError as error:
            raise OSError(
                error.errno or 5, f"the store does not give or take it ({_first_line(error)})", self.uri
            ) from error


Location = Path | RemotePath


def location(place: str | os.PathLike[str] | RemotePath) -> Location:
    """What a user's words name: a path on a store if they begin with a protocol, else a path of this machine."""
    if isinstance(place, RemotePath):
        return place
    text = os.fspath(place)
    return RemotePath(text.rstrip("/")) if is_remote(text) else Path(text)


def is_remote(place: str) -> bool:
    return "://" in place


def size_of(place: Location) -> int:
    """Bytes of a file."""
    return place.size() if isinstance(place, RemotePath) else place.stat().st_size


def matches(pattern: str) -> list[str]:
    """The objects of a store that a pattern names (``*``, ``?``, ``[...]``, ``**`` for folders in folders), sorted."""
    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    if first == len(parts):
        return [pattern] if RemotePath(pattern).is_file() else []
    wanted = "".join("(?:.*/)?" if part == "**" else _regular(part) + "/" for part in parts[first:])
    expression = re.compile(wanted.removesuffix("/"))
    folder = RemotePath("/".join(parts[:first]))
    found = folder.glob("**/*" if len(parts) - first > 1 else "*")
    return [file.uri for file in found if expression.fullmatch(file.uri[len(folder.uri) + 1 :])]


def _regular(part: str) -> str:
    """One part of a pattern, between two slashes, as a regular expression."""
    found = re.split(r"(\*|\?|\[[^\]]+\])", part)
    spelled = {"*": "[^/]*", "?": "[^/]"}
    return "".join(
        spelled.get(word) or (word.replace("[!", "[^") if word.startswith("[") else re.escape(word)) for word in found
    )


def remove_folder(folder: Location) -> None:
    """Removes a folder and its contents; a missing folder is not an error."""
    if isinstance(folder, RemotePath):
        folder.remove_folder()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def fetch_folder(folder: RemotePath, target: Path) -> Path:
    """Copies the objects right below `folder` into a folder of this machine; returns that."""
    target.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*"):
        file.fetch(target / file.name)
    return target


@lru_cache
def _store(protocol: str) -> fs.FileSystem:
    """The client of a protocol: Arrow's own for S3, which needs no further package, else fsspec's."""
    if protocol in ("s3", "s3a"):
        return fs.S3FileSystem(
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            allow_delayed_open=True,  # one request for a small object
            connect_timeout=CONNECT_SECONDS,
            request_timeout=REQUEST_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        )
    import fsspec

    try:
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(protocol)))
    except (ValueError, ImportError) as error:
        raise InputError(f"{protocol}://: no client for this protocol ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


if __name__ == "__main__":  # a process that can be ended at its time limit, and that no fork has touched
    try:
        source = location(sys.argv[1])
        if isinstance(source, RemotePath):
            source.fetch(Path(sys.argv[2]))
        else:
            shutil.copyfile(source, sys.argv[2])
    except OSError as failure:
        sys.exit(f"{failure.filename or sys.argv[1]}: {failure.strerror or failure}")
