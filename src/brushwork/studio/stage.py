"""The large picture and the words below it, as HTML."""

from __future__ import annotations

from html import escape

from brushwork.studio.controls import plain
from brushwork.studio.desk import Status
from brushwork.words import duration

EMPTY = (
    '<div class="bw-stage bw-empty"><p>Drop a photo and a painting.<br>Your picture appears here.</p></div>'
)

LEFT = "Stopped. What it has learnt so far can be painted with, or go on."


def picture(source: str, alt: str, ratio: float, *, behind: str = "") -> str:
    """One picture of that width over height; ``behind`` is shown until it has loaded: nothing flickers."""
    back = f"; background-image:url({escape(behind)})" if behind else ""
    return (
        f'<figure class="bw-stage" style="--ratio:{ratio:.4f}"><div class="bw-frame" style="{back}">'
        f'<img src="{escape(source)}" alt="{escape(alt)}"></div></figure>'
    )


def compared(before: str, after: str, names: tuple[str, str], ratio: float) -> str:
    """Two pictures over each other and the dial that moves the border between them."""
    left, right = (escape(name) for name in names)
    return (
        f'<figure class="bw-stage" style="--ratio:{ratio:.4f}"><div class="bw-frame" style="--cut:50%">'
        f'<img src="{escape(after)}" alt="{right}">'
        f'<img class="bw-before" src="{escape(before)}" alt="{left}"><span class="bw-border"></span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{left} or {right}" '
        "oninput=\"this.parentNode.style.setProperty('--cut', this.value + '%')\"></div>"
        f"<figcaption><span>{left}</span><span>{right}</span></figcaption></figure>"
    )


def lesson(samples: str, curves: str) -> str:
    """What a network in training paints so far, and the curves of its losses."""
    shown = [
        ("samples-sheet", samples, "what the network paints so far"),
        ("curves", curves, "losses, step by step"),
    ]
    pictures = "".join(
        f'<img class="bw-{kind}" src="{escape(at)}" alt="{what}">' for kind, at, what in shown if at
    )
    return f'<figure class="bw-lesson">{pictures}</figure>'


def progress(fraction: float, words: str) -> str:
    """A bar and what it stands for."""
    percent = round(100 * fraction)
    return (
        f'<div class="bw-progress"><div role="progressbar" aria-label="painted" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><span style="width:{percent}%"></span></div>'
        f"<p>{escape(words)}</p></div>"
    )


def words(text: str, *, trouble: bool = False) -> str:
    """A line below the picture."""
    return f'<p class="bw-words"{" role=alert" if trouble else ""}>{escape(text)}</p>' if text else ""


def news(status: Status) -> str:
    """How far a job is, in a line."""
    if status.state == "waiting":
        others = f"{status.ahead} before it" if status.ahead else "it is next"
        return progress(0, f"Waiting: {others}.")
    if status.state == "painting":
        left = "" if status.left is None else f", about {duration(status.left)} left"
        return progress(status.fraction, f"{status.words or 'Painting'}{left} …")
    if status.state == "failed":
        return words(f"It could not be done: {status.message}.", trouble=True)
    return _ended(status)


def _ended(status: Status) -> str:
    if status.state == "stopped" and not status.version:
        return words("Stopped before there was anything to see. It can go on.")
    took = f" in {duration(status.seconds)}" if status.seconds else ""
    if status.kind == "network":
        return words(f"Trained{took}. {plain(status.words)}" if status.state == "done" else LEFT)
    return words(f"Painted{took}." if status.state == "done" else "Stopped. This is the picture so far.")
