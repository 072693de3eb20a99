"""Files that a user names, opened; what is wrong with one is said in a line."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import IO

from brushwork.errors import InputError


@contextlib.contextmanager
def opened(path: str | Path) -> Generator[IO[bytes]]:
    """Open a file for reading; InputError says why when that fails."""
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the spelling and the folder") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder; name one picture in it") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it; change that or copy it elsewhere") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); check the path") from error
