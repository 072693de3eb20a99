"""Amounts as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds in the two largest units that they have."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def gigabytes(count: int) -> str:
    """A count of bytes, to a tenth of a gigabyte."""
    return f"{count / 1e9:.1f} GB"
