"""Downloads in the terminal."""

from __future__ import annotations

from brushwork.surfaces.terminal import say


def fetch_all(beginning: str) -> None:
    """Download what the names that begin so stand for."""
    from brushwork.fetch import DOWNLOADS

    for name in DOWNLOADS:
        if name.startswith(beginning):
            fetch_one(name)


def fetch_one(name: str) -> None:
    """Download one of ``fetch.DOWNLOADS`` under a bar."""
    from rich.console import Console
    from rich.progress import Progress

    from brushwork.fetch import fetch

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=None)
        path = fetch(name, progress=lambda done, total: bar.update(task, completed=done, total=total))
    say(f"downloaded {path}")
