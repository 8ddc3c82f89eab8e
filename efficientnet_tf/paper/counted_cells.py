"""The cells that can be computed exactly: architectures, parameters and FLOPS.

Networks are counted at 1,000 classes; FLOPS are multiply-accumulates.
"""

import itertools
import string
from collections.abc import Iterator
from typing import Any

from efficientnet_tf import counting, expansion, variants
from efficientnet_tf.data import tfds_table
from efficientnet_tf.paper import printed_numbers
from efficientnet_tf.paper.cells import EXACT, PRINTED, Cell, training_command
from efficientnet_tf.scaling import compound

_OURS = {"ResNet-50": "resnet-50", "ResNet-152": "resnet-152"}


def table1() -> list[Cell]:
    """Counts EfficientNet-B0, stage by stage."""
    rows = zip(printed_numbers.TABLE_1, _stages("efficientnet-b0"), strict=True)
    quantities = ("operator", "resolution", "channels", "layers")
    return [
        Cell("Table 1", f"stage {stage}", quantity, str(paper), str(ours), EXACT)
        for stage, (printed_row, our_row) in enumerate(rows, 1)
        for quantity, paper, ours in zip(quantities, printed_row, our_row, strict=True)
    ]


def table2() -> list[Cell]:
    """Counts every EfficientNet, and the networks that the paper compares with."""
    cells = []
    for name, (top_1, top_5, params, flops) in printed_numbers.TABLE_2.items():
        count = counting.count(name)
        command = training_command(name)
        cells += [
            Cell("Table 2", name, "top-1 %", top_1, note=command),
            Cell("Table 2", name, "top-5 %", top_5, note=command),
            Cell(
                *("Table 2", name, "parameters, M", params),
                count.trainable_params / 1e6,
                EXACT,
                f"trainable; {count.params / 1e6:.2f} with batch-norm statistics",
            ),
            Cell("Table 2", name, "FLOPS, G", flops, count.macs / 1e9, EXACT),
            *_released(name),
        ]
    for name, numbers in printed_numbers.TABLE_2_OTHERS.items():
        cells += list(_other(name, *numbers))
    return cells


def table3() -> list[Cell]:
    """Counts MobileNets and ResNet-50, scaled."""
    return [
        cell
        for base, rows in printed_numbers.TABLE_3.items()
        for factors, flops, top_1 in rows
        for cell in _scaled("Table 3", base, factors, flops, top_1)
    ]


def table7() -> list[Cell]:
    """Counts EfficientNet-B0, scaled for the class activation maps."""
    return [
        cell
        for factors, flops, top_1 in printed_numbers.TABLE_7
        for cell in _scaled("Table 7", "efficientnet-b0", factors, flops, top_1)
    ]


def table6() -> list[Cell]:
    """Counts the transfer data sets as this package reads them."""
    quantities = ("train images", "test images", "classes")
    cells = []
    for (dataset, sizes), (name, row) in zip(
        printed_numbers.TABLE_6.items(), tfds_table.ROWS.items(), strict=True
    ):
        ours = (row.train_images, row.test_images, row.classes)
        note = f"`--dataset=tfds:{name}`, {row.train} and {row.test}"
        cells += [
            Cell("Table 6", dataset, quantity, str(paper), str(value), EXACT, note)
            for quantity, paper, value in zip(quantities, sizes, ours, strict=True)
        ]
    return cells


def section3() -> list[Cell]:
    """Lists the coefficients, and the numbers of a published walk-through."""
    from efficientnet_tf.models import layer_counting

    alpha, beta, gamma = printed_numbers.COEFFICIENTS
    scaled = compound.Dimensions(18, 64, 224).scaled(1)
    walk = {"layers": ("22", scaled.layers), "filters": ("70", scaled.filters)}
    walk["resolution"] = ("256", scaled.resolution)
    cnn = layer_counting.count_model(_walk_through_cnn())
    search = "`python tools/search_coefficients.py --data_dir=DIR`"
    return [
        Cell(
            *("Section 3.3", "alpha * beta^2 * gamma^2", "factor"),
            printed_numbers.FLOPS_FACTOR,
            compound.PAPER.flops_factor,
            EXACT,
            "the paper asks for about 2",
        ),
        *(
            Cell("Section 3.3", name, "coefficient", value, note=search)
            for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma))
        ),
        *(
            Cell("Walk-through", "18 layers, 64 filters, 224 px", name, *pair, EXACT)
            for name, pair in walk.items()
        ),
        Cell(
            *("Walk-through", "its plain CNN", "parameters", "2746426"),
            str(cnn.params),
            EXACT,
            "the text's own rows add up to ours",
        ),
    ]


def _walk_through_cnn() -> Any:
    """Builds the network that the published walk-through starts from."""
    import keras

    layers = keras.layers
    stack = [keras.Input((224, 224, 3))]
    for filters in (32, 64, 128, 256):
        stack += [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D()]
    stack += [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10)]
    return keras.Sequential(stack)


def _stages(name: str) -> Iterator[tuple]:
    """Yields each stage's operator, input resolution, channels and layers."""
    network = expansion.expand(name)
    size = variants.get_variant(name).resolution
    kernel = f"{network.stem_kernel}x{network.stem_kernel}"
    yield f"Conv{kernel}", size, network.stem_filters, 1
    size //= 2
    stages = itertools.groupby(
        network, key=lambda block: block.name.rstrip(string.ascii_lowercase)
    )
    for _, (first, *others) in stages:
        kernel = f"k{first.kernel_size}x{first.kernel_size}"
        operator = f"MBConv{first.expand_ratio}, {kernel}"
        yield operator, size, first.output_filters, 1 + len(others)
        size //= max(first.strides)
    yield "Conv1x1 & Pooling & FC", size, network.head_filters, 1


def _released(name: str) -> Iterator[Cell]:
    """Yields the scores that the original authors state for their checkpoints."""
    for recipe, top_1 in zip(
        ("baseline", "AutoAugment"), printed_numbers.RELEASED[name], strict=True
    ):
        if top_1:
            weights = "imagenet" if recipe == "baseline" else "autoaugment"
            yield Cell(
                *("Table 2", name, f"top-1 % of the released {recipe} checkpoint"),
                top_1,
                note="`python main.py --mode=eval --dataset=imagenet --data_dir=DIR "
                f"--model={name} --weights={weights}`",
            )


def _other(name: str, top_1: str, params: str, flops: str | None) -> Iterator[Cell]:
    yield Cell("Table 2", name, "top-1 %", top_1, how=PRINTED)
    if name in _OURS:
        count = counting.count(_OURS[name])
        note = f"`{_OURS[name]}`, v1.5"
        million = count.trainable_params / 1e6
        yield Cell("Table 2", name, "parameters, M", params, million, EXACT, note)
        yield Cell("Table 2", name, "FLOPS, G", flops, count.macs / 1e9, EXACT, note)
        return
    yield Cell("Table 2", name, "parameters, M", params, how=PRINTED)
    if flops:
        yield Cell("Table 2", name, "FLOPS, G", flops, how=PRINTED)


def _scaled(
    item: str, base: str, factors: Any, flops: str, top_1: str
) -> Iterator[Cell]:
    if factors is None:
        row = f"{base} compound"
        unknown = "the paper does not print the coefficients"
        yield Cell(item, row, "FLOPS, G", flops, how=PRINTED, note=unknown)
        yield Cell(item, row, "top-1 %", top_1, how=PRINTED, note=unknown)
        return
    depth, width, resolution = factors
    network = compound.multiply(
        base, depth=depth, width=width, resolution=resolution, resolution_step=1
    )
    row = f"{base} d={depth:g} w={width:g} r={resolution:g}"
    macs = counting.count(network).macs / 1e9
    yield Cell(item, row, "FLOPS, G", flops, macs, EXACT, _remark(item, base, factors))
    yield Cell(item, row, "top-1 %", top_1, note=training_command(base, network))


def _remark(item: str, base: str, factors: tuple) -> str:
    """Explains why a number of ours does not agree with the paper's."""
    if base == "resnet-50" and factors in ((4, 1, 1), (1, 2, 1)):
        return "the paper's two look transposed"
    if item == "Table 7" and sum(factor != 1 for factor in factors) == 1:
        return "the open architecture does not give the printed FLOPS"
    return ""
