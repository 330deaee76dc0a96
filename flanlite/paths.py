"""Paths of this machine, as users write them, and whether something can be written there."""

import os
import pathlib
import tempfile
from typing import Annotated


def at_home(path: str | os.PathLike[str]) -> str:
    """Return a path of this machine with the user's home folder for `~` at its beginning: a shell leaves that
    in `--model_dir=~/x`.

    Raises:
        ValueError: the path is empty, a URL, or not in UTF-8, which libraries that write need; or it names
            the home of a user that there is not.
    """
    text = os.fspath(path)
    if any('\ud800' <= letter <= '\udfff' for letter in text):
        raise ValueError(
            f'the path {text!a} is not in UTF-8; expected another name, or a locale of UTF-8 '
            '(PYTHONUTF8=1)'
        )
    expanded = os.path.expanduser(text)
    if not text:
        raise ValueError('the path is empty; expected that of a file or folder')
    if expanded.startswith('~'):
        raise ValueError(
            f'there is no user for {text!r}; write {f"./{text}"!r} for a file or folder of that name'
        )
    if '://' in text:
        raise ValueError(
            f'{text!r} is a URL; expected a path of this machine: mount the bucket, with gcsfuse for '
            'example, and name the mount'
        )
    return expanded


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute form of a path, so that it means the same from any folder; see `at_home`."""
    return str(pathlib.Path(at_home(path)).absolute())


def absolute_or_url(path: str) -> str:
    """Return the absolute form of a path, and a URL as it is."""
    return path if '://' in path else absolute(path)


def check_folder(path: str | os.PathLike[str], remedy: str) -> None:
    """Raise an `OSError` that ends with a remedy if nothing can be written in a folder, or where it would be
    made; nothing is made.
    """
    folder = pathlib.Path(absolute(path))
    try:
        with tempfile.TemporaryFile(dir=next(each for each in (folder, *folder.parents) if each.exists())):
            pass
    except OSError as error:
        raise OSError(f'nothing can be written in {path}: {error.strerror}; {remedy}') from error


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise an `OSError` if no file can be written at a path, whose folder is to be there."""
    file = pathlib.Path(absolute(path))
    if file.is_dir():
        raise OSError(f'{path} is a folder; expected a file to write')
    if not file.parent.is_dir():
        raise OSError(
            f'there is no folder {file.parent} to write {file.name!r} in; make it, or name another file'
        )
    check_folder(file.parent, 'name another file')


LocalPath = Annotated[str, absolute]  # a field of a value that holds a path; see `config.readers`
PathOrUrl = Annotated[str, absolute_or_url]
