"""The four published recipes in float64, written from their documents alone: the package is checked by them.

It shares no code with the package and favours plainness over speed. Pictures are RGB, 0..255, of shape
(1, 3, rows, columns). Nothing resizes: `keras-example` wants photo and art of one size, the others do not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Weights = dict[str, tuple[Tensor, Tensor]]  # layer name -> (OIHW kernel, bias), for a centred BGR image
Terms = dict[str, Tensor]  # total, content, style, tv: the last three weighted, adding up to the first
Features = dict[str, Tensor]
Seen = Tensor | Features  # a picture, or its features where they are known
BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # VGG19: convolutions and filters of each block
LAYERS = [(f"block{b}_conv{c}", n) for b, (k, n) in enumerate(BLOCKS, 1) for c in range(1, k + 1)]
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block5_conv2"
# The judge's network as torchvision numbers its convolutions.
VGG16_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
BGR_MEANS = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).view(1, 3, 1, 1)


def preprocess(image: Tensor) -> Tensor:
    """RGB 0..255 to BGR less the means: `vgg19.preprocess_input`."""
    return image.double().flip(1) - BGR_MEANS


def deprocess(image: Tensor) -> Tensor:
    """The way back, neither clipped nor cut to 8 bits."""
    return (image + BGR_MEANS).flip(1)


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """The (rows, columns, 3) picture the documents save: clipped, then cut (not rounded) to 8 bits."""
    return np.clip(image.detach()[0].permute(1, 2, 0).numpy(), 0, 255).astype(np.uint8)


def random_weights(seed: int = 0, narrow: int = 1) -> Weights:
    """He-scaled noise in VGG19's shapes, its filters divided by `narrow` where that is affordable."""
    rng, weights, inputs = np.random.default_rng(seed), Weights(), 3
    for name, filters in LAYERS:
        kernel = rng.normal(0, np.sqrt(2 / (9 * inputs)), (filters // narrow, inputs, 3, 3))
        inputs = len(kernel)
        weights[name] = torch.from_numpy(kernel), torch.from_numpy(rng.normal(0, 0.1, inputs))
    return weights


def vgg_features(image: Tensor, weights: Weights, layers: tuple[str, ...]) -> Features:
    """What the layers named hold after their ReLU; pooling is 2×2 and drops an odd last row or column."""
    found: Features = {}
    for name, _ in LAYERS:
        if name in STYLE_LAYERS[1:]:  # every block but the first begins with the pooling of the one before
            image = F.max_pool2d(image, kernel_size=2, stride=2)
        kernel, bias = weights[name]
        image = F.conv2d(image, kernel.double(), bias.double(), padding=1).relu()
        if name in layers:
            found[name] = image
        if len(found) == len(set(layers)):
            break
    return {name: found[name] for name in layers}


def encode(image: Seen, weights: Weights) -> Features:
    """The features that the losses read."""
    if isinstance(image, Tensor):
        return vgg_features(preprocess(image), weights, (*STYLE_LAYERS, CONTENT_LAYER))
    return image


def gram(features: Tensor) -> Tensor:
    """Inner products of the flattened (channels, …) feature maps, not divided by anything."""
    flat = features.reshape(features.shape[-3], -1)
    return flat @ flat.T


def gram_mean(features: Tensor) -> Tensor:
    return gram(features) / (features.shape[-2] * features.shape[-1])


def gatys_layer_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """E_l = Σ(G−A)² / (4 N² M²): N filters of M places, A the art's undivided Gram matrix."""
    filters, places = features.shape[-3], features.shape[-2] * features.shape[-1]
    return (gram(features) - target_gram).square().sum() / (4 * filters**2 * places**2)


def total_variation(image: Tensor) -> Tensor:
    """`tf.image.total_variation`: Σ|dx| + Σ|dy|, channels included."""
    return image.diff(dim=-1).abs().sum() + image.diff(dim=-2).abs().sum()


def total_variation_power(image: Tensor) -> Tensor:
    """`keras-example`: Σ(dy² + dx²)^1.25 over all but the last row and column."""
    corner = image[:, :, :-1, :-1]
    down = (corner - image[:, :, 1:, :-1]).square()
    right = (corner - image[:, :, :-1, 1:]).square()
    return (down + right).pow(1.25).sum()


def style_of_means(image: Features, art: Features) -> Tensor:
    """The mean over layers of mean(G/M − A)², which three of the recipes share."""
    layers = [(gram_mean(image[name]) - gram_mean(art[name])).square().mean() for name in STYLE_LAYERS]
    return torch.stack(layers).sum() / len(layers)


class Numbers(NamedTuple):
    """The weights a document publishes (`tf-tutorial`: those of the tutorial it cites)."""

    content_weight: float
    style_weight: float
    tv_weight: float


def _terms(content: Tensor, style: Tensor, tv: Tensor) -> Terms:
    return {"total": content + style + tv, "content": content, "style": style, "tv": tv}


def loss_keras_example(image: Tensor, photo: Seen, art: Seen, weights: Weights, **numbers: float) -> Terms:
    """Sums, undivided Gram matrices, and 3 channels and the picture's own size at every layer."""
    by = Numbers(2.5e-8, 1e-6, 1e-6)._replace(**numbers)
    seen, base, reference = (encode(picture, weights) for picture in (image, photo, art))
    scale = 4.0 * 3**2 * (image.shape[-2] * image.shape[-1]) ** 2
    layers = [(gram(reference[name]) - gram(seen[name])).square().sum() / scale for name in STYLE_LAYERS]
    style = by.style_weight / len(layers) * torch.stack(layers).sum()
    content = by.content_weight * (seen[CONTENT_LAYER] - base[CONTENT_LAYER]).square().sum()
    return _terms(content, style, by.tv_weight * total_variation_power(preprocess(image)))


def loss_tf_blog(image: Tensor, photo: Seen, art: Seen, weights: Weights, **numbers: float) -> Terms:
    """Means throughout, and no total variation."""
    by = Numbers(1e3, 1e-2, 0.0)._replace(**numbers)
    assert by.tv_weight == 0
    seen, base, reference = (encode(picture, weights) for picture in (image, photo, art))
    content = by.content_weight * (seen[CONTENT_LAYER] - base[CONTENT_LAYER]).square().mean()
    return _terms(content, by.style_weight * style_of_means(seen, reference), torch.zeros_like(content))


def loss_tf_tutorial(image: Tensor, photo: Seen, art: Seen, weights: Weights, **numbers: float) -> Terms:
    """Means, and the total variation of the image in 0..1, where this document keeps it."""
    by = Numbers(1e4, 1e-2, 30.0)._replace(**numbers)
    seen, base, reference = (encode(picture, weights) for picture in (image, photo, art))
    content = by.content_weight * (seen[CONTENT_LAYER] - base[CONTENT_LAYER]).square().mean()
    tv = by.tv_weight * total_variation(image / 255)
    return _terms(content, by.style_weight * style_of_means(seen, reference), tv)


def loss_course(image: Tensor, photo: Seen, art: Seen, weights: Weights, **numbers: float) -> Terms:
    """Half a sum for the content, means for the style, and the total variation of the image in 0..255."""
    by = Numbers(1e-4, 1e-2, 0.0)._replace(**numbers)
    seen, base, reference = (encode(picture, weights) for picture in (image, photo, art))
    content = by.content_weight * 0.5 * (seen[CONTENT_LAYER] - base[CONTENT_LAYER]).square().sum()
    tv = by.tv_weight * total_variation(image)
    return _terms(content, by.style_weight * style_of_means(seen, reference), tv)


def tf_adam_step(
    x: Array, g: Array, m: Array, v: Array, t: int, lr: float, b1: float, b2: float, eps: float
) -> tuple[Array, Array, Array]:
    """TensorFlow's Adam, t from 1: ε is added to the uncorrected √v. Returns x, m and v."""
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return x - lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps), m, v


def torch_adam_step(
    x: Array, g: Array, m: Array, v: Array, t: int, lr: float, b1: float, b2: float, eps: float
) -> tuple[Array, Array, Array]:
    """The paper's and torch's Adam, t from 1: ε is added to the corrected √v̂. Returns x, m and v."""
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps), m, v


def sgd_step(x: Array, g: Array, step: int, lr: float = 100.0, rate: float = 0.96, every: int = 100) -> Array:
    """Keras's SGD under ExponentialDecay, not in stairs; the first step is number 0."""
    return x - lr * rate ** (step / every) * g


class Run(NamedTuple):
    """Pictures are RGB 0..255, not cut to 8 bits; `path[i]` is the one before step i, of loss `losses[i]`."""

    losses: list[float]
    image: Tensor
    path: list[Tensor]


Loss = Callable[..., Terms]
Space = Callable[[Tensor], Tensor]  # what is optimised -> RGB 0..255
Step = Callable[[Array, Array, int], Array]  # x, its gradient, and the steps already done -> the next x


def _descend(loss: Loss, space: Space, start: Tensor, step: Step, steps: int) -> Run:
    losses: list[float] = []
    path = [start.double()]
    for done in range(steps):
        x = path[-1].clone().requires_grad_()
        total = loss(space(x))["total"]
        (gradient,) = torch.autograd.grad(total, x)
        losses.append(total.item())
        path.append(torch.from_numpy(step(path[-1].numpy(), gradient.numpy(), done)))
    pictures = [space(x) for x in path]
    return Run(losses, pictures[-1], pictures)


def _against(loss: Loss, photo: Tensor, art: Tensor, weights: Weights, numbers: dict[str, float]) -> Loss:
    return partial(loss, photo=encode(photo, weights), art=encode(art, weights), weights=weights, **numbers)


def _clipped_adam(lr: float, b1: float, eps: float, low: Array | float, high: Array | float) -> Step:
    """TensorFlow's Adam with its default β2; the image is clipped after each step, the moments are not."""
    moments: list[Array] = []

    def step(x: Array, g: Array, done: int) -> Array:
        m, v = moments or (np.zeros_like(x), np.zeros_like(x))
        x, m, v = tf_adam_step(x, g, m, v, done + 1, lr, b1, 0.999, eps)
        moments[:] = m, v
        return np.clip(x, low, high)

    return step


def run_keras_example(photo: Tensor, art: Tensor, weights: Weights, steps: int, **numbers: float) -> Run:
    """SGD on the centred BGR image, which is never clipped. `photo` and `art` must have one size."""
    terms = _against(loss_keras_example, photo, art, weights, numbers)
    return _descend(terms, deprocess, preprocess(photo), sgd_step, steps)


def run_tf_blog(photo: Tensor, art: Tensor, weights: Weights, steps: int, **numbers: float) -> Run:
    """Adam on the centred BGR image; the result is the picture AFTER the step of the first lowest loss."""
    terms = _against(loss_tf_blog, photo, art, weights, numbers)
    step = _clipped_adam(5.0, 0.99, 0.1, -BGR_MEANS.numpy(), 255 - BGR_MEANS.numpy())
    run = _descend(terms, deprocess, preprocess(photo), step, steps)
    return run._replace(image=run.path[int(np.argmin(run.losses)) + 1])


def run_tf_tutorial(photo: Tensor, art: Tensor, weights: Weights, steps: int, **numbers: float) -> Run:
    """Adam on the image in 0..1."""
    terms = _against(loss_tf_tutorial, photo, art, weights, numbers)
    return _descend(terms, lambda x: x * 255, photo / 255, _clipped_adam(0.02, 0.99, 0.1, 0.0, 1.0), steps)


def run_course(photo: Tensor, art: Tensor, weights: Weights, steps: int, lr: float, **numbers: float) -> Run:
    """Adam on the image in 0..255; the document gives no rate."""
    terms = _against(loss_course, photo, art, weights, numbers)
    return _descend(terms, lambda x: x, photo, _clipped_adam(lr, 0.9, 1e-7, 0.0, 255.0), steps)
