"""How good a result is, by scores that no engine optimises."""

from brushwork.metrics.judge import Judge
from brushwork.metrics.scores import Scores, Yardstick

__all__ = ["Judge", "Scores", "Yardstick"]
