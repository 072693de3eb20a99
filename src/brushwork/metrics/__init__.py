"""How good a result is, by scores that no engine optimises."""

from brushwork.metrics.artfid import ArtFid
from brushwork.metrics.inception import Inception
from brushwork.metrics.judge import Judge
from brushwork.metrics.scores import Scores, Yardstick

__all__ = ["ArtFid", "Inception", "Judge", "Scores", "Yardstick"]
