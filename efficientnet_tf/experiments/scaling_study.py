"""Figures 3, 4 and 8 at any size: scaled networks, trained alike, some seeds each.

The paper trains them on ImageNet. The proxy is small enough for a laptop: CIFAR-10's
10,000 test images, 8,000 of them to train on, and a base of 1.1 million MACs at 16
pixels, which leaves room to scale up to the images' 32 pixels.
"""

import dataclasses
import itertools
import math
import os
import statistics
from collections.abc import Mapping, Sequence

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting
from efficientnet_tf.experiments import trials
from efficientnet_tf.scaling import compound
from efficientnet_tf.variants import Variant

PROXY = {
    "model": "efficientnet-test",
    # Total stride 4: sizes that are multiples of 4 give whole feature maps.
    "blocks": "r1_k3_s11_e1_i16_o16_se0.25,r3_k3_s22_e4_i16_o24_se0.25,"
    "r3_k3_s11_e4_i24_o40_se0.25",
    "image_size": 16,
    "dataset": "folder",
    "train_batch_size": 128,
    "eval_batch_size": 200,
    "train_epochs": 10.0,
    "lr_decay_epochs": 0.2,  # 10 epochs decay the rate as far as 120 of the paper's
    "warmup_epochs": 1.0,
    "moving_average_decay": 0.99,
    "augment": "none",
    "crop_area_min": 0.5,
    "eval_crop": "exact",
    "survival_prob": 1.0,
    "eval_epochs": 2.0,
    "checkpoint_epochs": 10.0,
}
_MULTIPLES = (2.09, 3.63)  # of the base's MACs: those of 24 and of 32 pixels
_RESOLUTION_STEP = 4  # pixels; between multiples, feature maps and MACs jump
_AXES = ("width", "depth", "resolution")


@dataclasses.dataclass(frozen=True)
class Point:
    """One network of a figure, by the factors that scale the base's dimensions."""

    curve: str
    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    @property
    def label(self) -> str:
        """The factors as text, for file names and legends."""
        return f"d{self.depth:.4g}-w{self.width:.4g}-r{self.resolution:.4g}"

    def of(self, base: Variant) -> Variant:
        """Scales the base, to an image size that two strides divide."""
        factors = dataclasses.asdict(self)
        del factors["curve"]
        return compound.multiply(base, resolution_step=_RESOLUTION_STEP, **factors)


def equal_flops(base: Variant) -> list[Point]:
    """Lists figures 3 and 8: one dimension scaled, or all of them, at equal MACs.

    Args:
        base: the network to scale, with the resolution it is trained at.

    Returns:
        The base; then, for each of two multiples of its MACs, the nearest network of
        each curve, which rounding leaves some percent off.
    """
    fine = [1 + i / 20 for i in range(200)]
    curves = [
        {point: counting.count(point.of(base)).macs for point in points}
        for points in ([Point(axis, **{axis: f}) for f in fine] for axis in _AXES)
    ]
    points = [Point("base")]
    for multiple in _MULTIPLES:
        macs = multiple * counting.count(base).macs
        points += [_nearest(curve, macs) for curve in curves]
        points.append(_compound(base, multiple))
    return points


def width_sweeps() -> list[Point]:
    """Lists figure 4: width alone, from four bases, two depths by two resolutions."""
    return [
        Point(f"d={depth}, r={resolution}", depth, width, resolution)
        for depth, resolution in ((1.0, 1.0), (1.0, 1.3), (2.0, 1.0), (2.0, 1.3))
        for width in (1.0, 1.4, 2.0)
    ]


def train(
    points: Sequence[Point],
    settings: Mapping,
    *,
    root: str,
    seeds: int = 3,
    workers: int = 1,
) -> list[dict]:
    """Trains every point with every seed; keeps what is trained already.

    Args:
        points: the networks of one figure or of several.
        settings: fields of Config; PROXY and a `data_dir`, or a run on ImageNet.
        root: folder of the trials.
        seeds: int, trainings of each point.
        workers: int, trainings at a time.

    Returns:
        A row for each point: its curve, label, "macs", "params", "top_1" of each seed
        (on validation images, in percent), their "mean" and "stddev".
    """
    base = config_lib.create(**settings)
    network = trials.network(base)
    configs = {
        f"{point.label}-seed{seed}": dataclasses.replace(
            trials.with_network(base, point.of(network)), seed=seed
        )
        for seed in range(seeds)
        for point in points
    }
    results = trials.run(configs, root=root, workers=workers)
    return [row(point, network) | _scores(point, results, seeds) for point in points]


def runs(settings: Mapping, *, root: str) -> dict[str, str]:
    """Maps titles to folders: seed 0 of the base and of its largest scaled networks.

    Args:
        settings: fields of the base's Config.
        root: folder of the trials.

    Raises:
        ValueError: if one was not trained yet.
    """
    network = trials.network(config_lib.create(**settings))
    points = equal_flops(network)
    chosen = {point.curve: point for point in points}  # the last point of each curve
    folders = {
        f"{curve} ({point.label})": f"{root}/{point.label}-seed0"
        for curve, point in chosen.items()
    }
    for folder in folders.values():
        if not os.path.exists(f"{folder}/result.json"):
            raise ValueError(f"{folder}: not trained yet; reproduce figure8 first")
    return folders


def row(point: Point, base: Variant) -> dict:
    """Returns what a point costs, before it is trained.

    Args:
        point: the network.
        base: the network that it is scaled from.
    """
    count = counting.count(point.of(base))
    costs = {"label": point.label, "macs": count.macs, "params": count.params}
    return dataclasses.asdict(point) | costs


def _scores(point: Point, results: Mapping[str, dict], seeds: int) -> dict:
    scores = [
        100 * results[f"{point.label}-seed{seed}"]["top_1"] for seed in range(seeds)
    ]
    return {
        "top_1": scores,
        "mean": statistics.mean(scores),
        "stddev": statistics.stdev(scores) if seeds > 1 else None,
    }


def _compound(base: Variant, multiple: float) -> Point:
    """Finds the network nearest to both the wanted MACs and the compound curve.

    Distances are ratios of MACs, which grow as depth, width squared and resolution
    squared. At this size rounding leaves few networks, and none is on the curve.
    """
    phi = math.log(multiple, compound.PAPER.flops_factor)
    wanted = compound.PAPER.at(phi)
    macs = multiple * counting.count(base).macs
    points = [
        Point(
            "compound", *(want * i / 20 for want, i in zip(wanted, shift, strict=True))
        )
        for shift in itertools.product(range(16, 26), repeat=3)
    ]

    def distance(point: Point) -> float:
        network = point.of(base)
        real = (point.depth, point.width, network.resolution / base.resolution)
        shifts = [abs(math.log(a / b)) for a, b in zip(real, wanted, strict=True)]
        off = abs(math.log(counting.count(network).macs / macs))
        return off + shifts[0] + 2 * shifts[1] + 2 * shifts[2]

    return min(points, key=distance)


def _nearest(curve: dict[Point, int], macs: float) -> Point:
    return min(curve, key=lambda point: abs(curve[point] - macs))
