"""The optimise engine: the pixels themselves follow the gradient of VGG19 losses (Gatys et al.)."""
