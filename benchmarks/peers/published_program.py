# pyright: basic, reportMissingModuleSource=false
"""A step of the published program: the Keras example's arithmetic in TensorFlow, timed.

    python benchmarks/peers/published_program.py PHOTO ART [--steps 10]

Needs `tensorflow-cpu` and Pillow (in an environment of its own); our own lines after
001_d0fe685b8812fb98.txt: photo, painting and result go through VGG19 as one batch of three each step, the
gradient is TensorFlow's, the optimiser SGD. Random weights of VGG19's shapes cost what the real ones cost.
Prints the median seconds of a step, and of 4000.
"""

import argparse
import json
import statistics
import time

import tensorflow as tf

WIDTHS = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
STYLE = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"]


def network():
    """VGG19's convolutions up to block5_conv4, every layer an output."""
    x = inputs = tf.keras.Input((None, None, 3))
    outputs = {}
    for block, (width, depth) in enumerate(WIDTHS, 1):
        for part in range(1, depth + 1):
            name = f"block{block}_conv{part}"
            x = outputs[name] = tf.keras.layers.Conv2D(
                width, 3, padding="same", activation="relu", name=name
            )(x)
        x = tf.keras.layers.MaxPooling2D(2)(x)
    return tf.keras.Model(inputs, outputs)


def gram(x):
    """Raw Gram matrix of (h, w, C)."""
    flat = tf.reshape(tf.transpose(x, (2, 0, 1)), (x.shape[2], -1))
    return tf.matmul(flat, tf.transpose(flat))


def variation(x):
    """Σ(dx² + dy²)^1.25 over the interior."""
    a = tf.square(x[:, :-1, :-1, :] - x[:, 1:, :-1, :])
    b = tf.square(x[:, :-1, :-1, :] - x[:, :-1, 1:, :])
    return tf.reduce_sum(tf.pow(a + b, 1.25))


def main():
    """Time the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo")
    parser.add_argument("art")
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    photo = tf.io.decode_image(tf.io.read_file(options.photo), 3, expand_animations=False)
    rows, columns = 400, int(photo.shape[1] * 400 / photo.shape[0])
    images = []
    for name in (options.photo, options.art):
        image = tf.io.decode_image(tf.io.read_file(name), 3, expand_animations=False)
        image = tf.cast(tf.image.resize(image, (rows, columns), method="nearest"), tf.float32)
        images.append(image[None, ..., ::-1] - tf.constant([103.939, 116.779, 123.68]))
    base, style = images
    model, result = network(), tf.Variable(base)
    optimizer = tf.keras.optimizers.SGD(
        tf.keras.optimizers.schedules.ExponentialDecay(100.0, decay_steps=100, decay_rate=0.96)
    )

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            found = model(tf.concat([base, style, result], axis=0))
            loss = 2.5e-8 * tf.reduce_sum(tf.square(found["block5_conv2"][2] - found["block5_conv2"][0]))
            for name in STYLE:
                distance = tf.reduce_sum(tf.square(gram(found[name][1]) - gram(found[name][2])))
                loss += 1e-6 / 5 * distance / (4.0 * 3**2 * (rows * columns) ** 2)
            loss += 1e-6 * variation(result)
        return tape.gradient(loss, result)

    times = []
    for _ in range(options.steps + 1):
        began = time.perf_counter()
        optimizer.apply_gradients([(gradient(), result)])
        times.append(time.perf_counter() - began)
    step = statistics.median(times[1:])
    print(json.dumps({"seconds_per_step": round(step, 3), "seconds_of_4000_steps": round(4000 * step)}))


if __name__ == "__main__":
    main()
