"""Encoders: networks that turn a picture into feature maps."""

from brushwork.encoders.vgg19 import LAYERS, VGG19

__all__ = ["LAYERS", "VGG19"]
