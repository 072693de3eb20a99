"""The course notebook's GAN in Keras: a step for each line on standard input, its seconds on standard output.

Run by benchmarks/training.py with a Python that has TensorFlow:
python keras_gan.py BATCH THREADS float32|bfloat16
"""

# pyright: basic, reportUntypedFunctionDecorator=false
import sys
import time

import numpy as np  # pyright: ignore
import tensorflow as tf  # pyright: ignore

L = tf.keras.layers
LATENT = 64


def networks():
    """The two networks as the notebook's summaries list them."""
    discriminator = tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1)),
            *(part for width in (64, 128, 128) for part in (L.Conv2D(width, 4, 2, "same"), L.LeakyReLU(0.2))),
            L.Flatten(),
            L.Dropout(0.2),
            L.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )
    generator = tf.keras.Sequential(
        [
            tf.keras.Input((LATENT,)),
            L.Dense(7 * 7 * 64),
            L.Reshape((7, 7, 64)),
            *(
                part
                for width, stride in ((64, 2), (32, 2), (16, 1))
                for part in (L.Conv2DTranspose(width, 4, stride, "same"), L.LeakyReLU(0.2))
            ),
            L.Conv2D(1, 5, padding="same", activation="sigmoid", dtype="float32"),
        ]
    )
    return discriminator, generator


def main(batch: int, threads: int, precision: str) -> None:
    """Answer each line with the seconds of one step."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if precision == "bfloat16":  # the last layers in float32, as Keras's guide to mixed precision says
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    discriminator, generator = networks()
    assert (discriminator.count_params(), generator.count_params()) == (396_609, 310_849)
    optimizers = [tf.keras.optimizers.Adam(1e-4) for _ in range(2)]
    loss_of = tf.keras.losses.BinaryCrossentropy()

    @tf.function
    def step(real: tf.Tensor):
        fakes = generator(tf.random.normal((batch, LATENT)))
        labels = tf.concat([tf.ones((batch, 1)), tf.zeros((batch, 1))], 0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            loss = loss_of(labels, discriminator(tf.concat([fakes, real], 0)))
        weights = discriminator.trainable_weights
        optimizers[0].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        points = tf.random.normal((batch, LATENT))
        with tf.GradientTape() as tape:
            deceived = loss_of(tf.zeros((batch, 1)), discriminator(generator(points)))
        weights = generator.trainable_weights
        optimizers[1].apply_gradients(zip(tape.gradient(deceived, weights), weights, strict=True))
        return loss, deceived

    real = tf.constant(np.random.default_rng(0).random((batch, 28, 28, 1), np.float32))
    for _ in range(2):
        step(real)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter(), time.process_time()
        step(real)[0].numpy()
        print(time.perf_counter() - began[0], time.process_time() - began[1], flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
