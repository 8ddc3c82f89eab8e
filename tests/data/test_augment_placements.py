"""Host and device, compiled or not, give the same images; pipelines carry draws."""

import functools

import numpy as np
import pipelines
import pytest
import tensorflow as tf
from augment_support import image, made_plan, operator
from batches_support import RECORDS, prepare
from builds import needs_xla
from slow_cases import slow

from efficientnet_tf.data import batches, sources
from efficientnet_tf.data.augment import application, batch, changes, draws, policies

SIZE, COUNT = 32, 24
MIXED = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0}


def _drawn(plan) -> tf.Tensor:
    seeds = [tf.constant([3, number], tf.int64) for number in range(COUNT)]
    return tf.stack([draws.draw(seed, plan) for seed in seeds])


@functools.cache
def _images() -> tf.Tensor:
    return tf.constant(np.stack([image(SIZE, n) for n in range(COUNT)]))


def _run(plan, apply, **kwargs) -> np.ndarray:
    function = tf.function(
        functools.partial(apply, plan=plan), autograph=False, **kwargs
    )
    return function(_images(), _drawn(plan)).numpy()


def _everything(augment):
    return made_plan(
        augment, SIZE, cutout=8, random_erasing=0.5, randaugment_magnitude=17.0
    )


@needs_xla
@pytest.mark.parametrize(
    "augment", ["autoaugment", *slow("randaugment", "trivialaugment")]
)
def test_host_and_device_give_the_same_images(augment, monkeypatch):
    plan = _everything(augment)
    found = _run(plan, application.on_cpu)
    assert (found != _images().numpy()).mean() > 0.5
    np.testing.assert_array_equal(found, _run(plan, application.on_device))
    # TensorFlow's TPU build has no XLA for the host.
    monkeypatch.setattr(changes, "has_xla", lambda: False)
    np.testing.assert_array_equal(found, _run(plan, application.on_cpu))


@needs_xla
@pytest.mark.parametrize("augment", ["autoaugment", *slow("trivialaugment")])
def test_one_xla_program_gives_the_same_images(augment):
    plan = _everything(augment)  # the two have all kinds of actions
    found = _run(plan, application.on_device, jit_compile=True)
    np.testing.assert_array_equal(found, _run(plan, application.on_device))


def test_the_device_changes_each_image_by_its_own_draw():
    plan = made_plan("randaugment", SIZE, randaugment_magnitude=7.0)
    draw = np.zeros([COUNT, 2, 5], np.int32)
    wanted = []
    names = [n for n in policies.RANDAUGMENT if n != "Cutout"]
    for number in range(COUNT):
        pixels = image(SIZE, number)
        for layer in range(2):
            name = names[(number * (2 + layer)) % len(names)]
            row = policies.RANDAUGMENT.index(name)
            draw[number, layer, 0] = plan.choices[row, 0, 0]
            pixels = operator(name, 7, pixels)
        wanted.append(pixels)
    found = application.on_device(_images(), tf.constant(draw), plan)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("count", [1, 7, *slow(2, 11)])
def test_batches_of_any_size_can_be_changed_on_the_device(count):
    plan = made_plan("autoaugment", SIZE)
    images, drawn = _images()[:count], _drawn(plan)[:count]
    np.testing.assert_array_equal(
        application.on_device(images, drawn, plan),
        application.on_cpu(images, drawn, plan),
    )


def _train(split, augment_on: str, device: str = "cpu", **chosen) -> list[dict]:
    """Three batches as the step trains on them."""
    transform = pipelines.transform(
        prepare(16, 0.875), RECORDS, augment_on=augment_on, **chosen
    )
    dataset = batches.train_batches(split, transform, batch_size=8, seed=4)
    carried = batch.carried(transform.plan(), 8)
    assert dataset.element_spec.keys() == {"image", "label"} | carried.keys()
    for name, spec in carried.items():
        assert dataset.element_spec[name] == spec
    plan = transform.plan()
    step = functools.partial(batch.in_step, plan=plan, device=device)
    return [step(b) if carried else b for b in dataset.take(3)]


@pytest.mark.parametrize(
    ("device", "chosen"),
    [
        *slow(("cpu", {"augment": "autoaugment"})),
        ("tpu", {"augment": "randaugment", "random_erasing": 0.5} | MIXED),
        pytest.param("gpu", {"random_erasing": 0.5} | MIXED, marks=needs_xla),
        ("cpu", {"mixup_alpha": 0.4}),
    ],
)
def test_a_step_trains_on_the_hosts_images(numbered, chosen, device):
    host = _train(numbered, "host", **chosen)
    on_device = _train(numbered, "device", device, **chosen)
    for one, other in zip(host, on_device, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])


def test_nothing_to_change_is_nothing_to_carry(numbered):
    (found, *_) = _train(numbered, "device")
    (wanted, *_) = _train(numbered, "host")
    np.testing.assert_array_equal(found["image"], wanted["image"])


def test_fake_data_carries_draws_too():
    transform = pipelines.transform(
        prepare(16, 0.875), 10, augment="randaugment", augment_on="device", **MIXED
    )
    fake = sources.open_source(
        "fake", None, num_classes=10, minival_shards=0, num_train_images=None
    )
    dataset = fake.train(transform, batch_size=4)
    assert {n: dataset.element_spec[n] for n in ("draw", "weight", "box")} == (
        batch.carried(transform.plan(), 4)
    )
    plain = pipelines.transform(prepare(16, 0.875), 10, augment="randaugment")
    assert fake.train(plain, batch_size=4).element_spec.keys() == {"image", "label"}


@pytest.mark.parametrize("name", ["autoaugment", *slow("randaugment")])
def test_a_pipeline_augments_each_image_by_its_seed_alone(name):
    """Neither the global seed, threads, neighbours nor the graph change an image."""
    plan = made_plan(name, SIZE)
    images = [image(SIZE, n % 4) for n in range(60)]

    @tf.function(autograph=False)
    def augmented(number, pixels):
        return batch.example(pixels, tf.stack([tf.cast(5, tf.int64), number]), plan)

    tf.random.set_seed(1)
    alone = [
        augmented(tf.constant(n, tf.int64), tf.constant(pixels))["image"].numpy()
        for n, pixels in enumerate(images)
    ]
    tf.random.set_seed(2)
    dataset = tf.data.Dataset.from_tensor_slices(images).enumerate()
    together = dataset.map(augmented, num_parallel_calls=4)
    found = [b["image"] for b in together.repeat(2).as_numpy_iterator()]
    np.testing.assert_array_equal(alone, found[:60])
    np.testing.assert_array_equal(alone, found[60:])
    changed = [(a != b).any() for a, b in zip(alone, images, strict=True)]
    assert sum(changed) > 40
