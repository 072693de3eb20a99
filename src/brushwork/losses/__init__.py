"""Losses as plain functions of feature maps and their additive moments."""

from brushwork.losses.content import content_loss
from brushwork.losses.nearest import Patches, nearest_loss
from brushwork.losses.sliced import Projections, sliced_loss
from brushwork.losses.statistics import Moments, gram_matrix
from brushwork.losses.style import Gaussian, style_loss
from brushwork.losses.variation import high_pass, total_variation

__all__ = [
    "Gaussian",
    "Moments",
    "Patches",
    "Projections",
    "content_loss",
    "gram_matrix",
    "high_pass",
    "nearest_loss",
    "sliced_loss",
    "style_loss",
    "total_variation",
]
