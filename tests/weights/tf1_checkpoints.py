"""Writes TF1 checkpoints with TF1 itself, with a table of names of our own."""

import dataclasses
import functools
import itertools

import networks
import numpy as np
import tensorflow as tf

import efficientnet_tf as en

AVERAGE = "/ExponentialMovingAverage"
TEST = "efficientnet-test"
SMALL = {"input_shape": (32, 32, 3), "classes": 10}
# For what depends on no block: TF1 takes longest to write.
ONE = dataclasses.replace(en.get_variant(TEST), blocks=(networks.ONE,))
COND_CONV = dataclasses.replace(
    en.get_variant("efficientnet-condconv-b0-4e"),
    blocks=("r2_k3_s11_e6_i32_o32_se0.25_cc",),
    head_filters=16,
)


def variables_of(
    variant, *, classes, first_cond_conv=0, first_depthwise=0, outer="model/"
):
    """(name, shape, our path, our shape) of every variable, after the original's code.

    A block makes a fused, an expanding and a projecting convolution, in this order.
    Convolutions of `tf.layers` are numbered in the order of their use in the block,
    CondConvs (Keras layers) in the order of their creation in the process; these are
    also in the scope of the Keras model, `outer`.
    """
    network = en.expand(variant)

    def norm(scope, path, filters):
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield f"{scope}/{name}", (filters,), f"{path}/{name}", (filters,)

    def kernel(scope, path, *shape, name="kernel"):
        yield f"{scope}/{name}", shape, f"{path}/kernel", shape

    def numbered(base, number):
        return f"{base}_{number}" if number else base

    cond_convs, depthwise = first_cond_conv, first_depthwise
    stem = network.stem_filters
    yield from kernel("stem/conv2d", "stem_conv", 3, 3, 3, stem)
    yield from norm("stem/tpu_batch_normalization", "stem_bn", stem)
    for index, block in enumerate(network):
        scope, path = f"blocks_{index}", block.name
        made = {"conv2d": itertools.count(), "norm": itertools.count()}
        middle, size = block.expanded_filters, block.kernel_size

        def conv(role, inputs, outputs, size=1, *, place):
            if not block.experts:  # noqa: B023
                base = numbered("conv2d", next(made["conv2d"]))  # noqa: B023
                shape = (size, size, inputs, outputs)
                yield from kernel(f"{scope}/{base}", f"{path}_{role}_conv", *shape)  # noqa: B023
                return
            base = numbered("cond_conv2d", cond_convs + place)  # noqa: B023
            shape = (block.experts, inputs * outputs)  # noqa: B023
            ours = (block.experts, 1, 1, inputs, outputs)  # noqa: B023
            name = f"{outer}{scope}/{base}/condconv_kernel"  # noqa: B023
            yield name, shape, f"{path}_{role}_conv/kernel", ours  # noqa: B023

        def next_norm(role, filters):
            number = next(made["norm"])  # noqa: B023
            base = numbered("tpu_batch_normalization", number)
            yield from norm(f"{scope}/{base}", f"{path}_{role}bn", filters)  # noqa: B023

        if block.experts:
            shape = (block.input_filters, block.experts)
            yield from kernel(f"{scope}/dense", f"{path}_routing", *shape)
            bias = (block.experts,)
            yield f"{scope}/dense/bias", bias, f"{path}_routing/bias", bias
        if block.expand_ratio != 1:
            full = size if block.kind in ("edge", "fused") else 1
            yield from conv("expand", block.input_filters, middle, full, place=1)
            yield from next_norm("expand_", middle)
        if block.kind == "mbconv":
            if block.experts:
                base = numbered("depthwise_cond_conv2d", depthwise)
                shape = (block.experts, size * size * middle)
                ours = (block.experts, size, size, middle, 1)
                name = f"{outer}{scope}/{base}/depthwise_condconv_kernel"
                yield name, shape, f"{path}_dwconv/kernel", ours
            else:
                name = f"{scope}/depthwise_conv2d"
                shape = (size, size, middle, 1)
                yield from kernel(
                    name, f"{path}_dwconv", *shape, name="depthwise_kernel"
                )
            yield from next_norm("", middle)
        if block.se_filters:
            for base, role, shape in (
                ("conv2d", "reduce", (1, 1, middle, block.se_filters)),
                ("conv2d_1", "expand", (1, 1, block.se_filters, middle)),
            ):
                name, bias = f"{scope}/se/{base}", shape[-1:]
                yield from kernel(name, f"{path}_se_{role}", *shape)
                yield f"{name}/bias", bias, f"{path}_se_{role}/bias", bias
        full = size if block.kind == "fused" and block.expand_ratio == 1 else 1
        yield from conv("project", middle, block.output_filters, full, place=2)
        yield from next_norm("project_", block.output_filters)
        cond_convs += 3 * bool(block.experts)
        depthwise += bool(block.experts)
    head, last = network.head_filters, network.blocks[-1].output_filters
    yield from kernel("head/conv2d", "top_conv", 1, 1, last, head)
    yield from norm("head/tpu_batch_normalization", "top_bn", head)
    yield from kernel("head/dense", "predictions", head, classes)
    yield "head/dense/bias", (classes,), "predictions/bias", (classes,)


def save(path, arrays):
    """Saves with TF1's own Saver."""
    with tf.compat.v1.Graph().as_default():
        for name, value in arrays.items():
            tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            saver = tf.compat.v1.train.Saver()
            return saver.save(session, str(path), write_meta_graph=False)


def write(path, arrays):
    """Saves the same in a hundredth of the time, where TF1 itself is not the point."""
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )
    return str(path)


def checkpoint(
    tmp_path,
    variant,
    *,
    classes=10,
    average=True,
    slots=(),
    rename=str,
    save=save,
    **kwargs,
):
    """Random variables; returns the path, and raw and averaged values by our paths."""
    variant = en.get_variant(variant)
    rng = np.random.default_rng(0)
    arrays = {"global_step": np.int64(109375)}
    raw, averaged = {}, {}
    for name, shape, path, ours in variables_of(variant, classes=classes, **kwargs):
        full = rename(f"{variant.name}/{name}")
        for suffix, found in [("", raw)] + [(AVERAGE, averaged)] * average:
            value = rng.normal(size=shape).astype("float32")
            if name.endswith("moving_variance"):
                value = np.abs(value)
            arrays[full + suffix] = value
            found[path] = value.reshape(ours)
        for slot in slots:
            arrays[f"{full}/{slot}"] = np.zeros(shape, "float32")
    return save(tmp_path / "model.ckpt-109375", arrays), raw, averaged, arrays


@functools.cache
def built(variant):
    """A model of a variant, for all tests that load or write its weights."""
    return en.EfficientNet(variant, **SMALL)
