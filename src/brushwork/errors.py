"""The mistakes a user can mend: each message says what is wrong, the value, the limit and the remedy."""


class BrushworkError(Exception):
    """A mistake that the user can mend, in one line; surfaces print it and exit with status 2."""


class InputError(BrushworkError):
    """A picture, option or job that cannot be used as it is."""


class OutputError(BrushworkError):
    """A place that cannot be written to."""


class WeightsError(BrushworkError):
    """Network weights that are missing, damaged or of another network."""


class MissingExtraError(BrushworkError):
    """An optional part that is not installed; the message carries the exact ``pip install``."""


class MemoryShortError(BrushworkError):
    """Memory that ran out where the work can be done in no smaller way."""


class DivergedError(BrushworkError):
    """A loss that became NaN, infinite or ran away; the message says which term."""
