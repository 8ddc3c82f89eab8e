"""Trains, evaluates and exports EfficientNets.

python main.py                                     # digits, minutes on a laptop
python main.py --dataset=imagenet --data_dir=DIR --model=efficientnet-b0
python main.py --mode=predict image.jpg ...        # with the model just trained
python main.py --mode=cam --weights=FILE photo.jpg  # where it finds the class
"""

import json
import os
import sys

from absl import app, logging
from absl import flags as absl_flags

import flags
from efficientnet_tf import files
from efficientnet_tf.hardware import hosts, preflight
from efficientnet_tf.planning import settings

FLAGS = flags.FLAGS


def parse(argv: list[str]) -> list[str]:
    """Parses the flags, or ends with one line of error."""
    try:
        return flags.parse(argv)
    except ValueError as error:
        sys.exit(f"error: {error}")


def main(argv: list[str]) -> None:
    """Runs the mode asked for and prints its result."""
    # What matters reaches the user as an exception; TensorFlow and orbit log the rest.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    try:
        result = _run(images=argv[1:])
    except (ValueError, FloatingPointError, hosts.HostLostError) as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        reason = files.why_refused(error)
        if reason is None:
            raise
        sys.exit(f"error: {reason}")
    if FLAGS.json and result:
        print(json.dumps(result), flush=True)


def _run(images: list[str]) -> dict:
    """Checks all that can be checked without TensorFlow, then does the job."""
    if images and FLAGS.mode not in flags.WITH_IMAGES:
        raise ValueError(f"unexpected argument {images[0]!r}")
    if FLAGS.mode in flags.WITH_IMAGES and not images:
        raise ValueError(f"--mode={FLAGS.mode}: name one or more image files")
    flags.check()
    preflight.before_import()
    if FLAGS.mode in flags.WITH_HOSTS:
        return _together()
    if FLAGS.mode == "export":
        return _export()
    if FLAGS.mode == "plan":
        return plan()
    return _predict(images) if FLAGS.mode == "predict" else _map(images)


# TensorFlow takes seconds to import, so only the modes below do.


def _together() -> dict:
    """Does what takes all hosts; the result is the chief's, and empty elsewhere."""
    cluster = preflight.find_cluster(
        FLAGS.device, tpu=FLAGS.tpu, num_cpu_devices=FLAGS.num_cpu_devices
    )
    trains = FLAGS.mode in ("train", "train_and_eval")
    config = flags.to_config() if trains else None
    strategy = _strategy(cluster)
    from efficientnet_tf.hardware import agreement

    with agreement.together(strategy) as ours:
        if trains:
            return _train(config, strategy, ours)
        job = _evaluate if FLAGS.mode == "eval" else _try_devices
        return job(strategy, ours)


def _train(config, strategy, ours) -> dict:
    from efficientnet_tf.export import saved_model
    from efficientnet_tf.training import loop

    model_dir = flags.model_dir()
    validate = FLAGS.mode == "train_and_eval"
    # Before the export's, which is below it unless another is named.
    files.check_writable(model_dir, label="model_dir=")
    if validate:
        saved_model.check_target(flags.export_dir())
    result = loop.train(
        config, model_dir=model_dir, strategy=strategy, validate=validate
    )
    if not ours.is_chief:
        return {}
    result["model_dir"] = model_dir
    if result["finished"] and validate:
        result |= _export()
        _print_scores(result)
        _print_next_steps(model_dir)
    return result


def _try_devices(strategy, ours) -> dict:
    from efficientnet_tf.hardware import trial

    result = trial.compute(strategy)
    if not ours.is_chief:
        return {}
    print(
        f"{result['device']}: {result['replicas']} replicas compute, TensorFlow "
        f"{result['tensorflow']}"
    )
    return result


def _evaluate(strategy, ours) -> dict:
    from efficientnet_tf.training import evaluation

    if FLAGS.weights:
        config, checkpoint = _pretrained()
        result = evaluation.evaluate_weights(config, checkpoint, strategy=strategy)
    else:
        result = evaluation.evaluate(
            _config_of_run(), model_dir=flags.model_dir(), strategy=strategy
        )
    if not ours.is_chief:
        return {}
    _print_scores(result)
    return result


def _export() -> dict:
    from efficientnet_tf.export import saved_model
    from efficientnet_tf.training import build

    saved_model.check_target(flags.export_dir())
    config, model = _model()
    path = saved_model.save(model, flags.export_dir(), **build.preparation(config))
    print(f"SavedModel    {path}")
    return {"export_dir": path}


def _predict(images: list[str]) -> dict:
    from efficientnet_tf.export import predict
    from efficientnet_tf.training import build

    config, model = _model()
    results = predict.predict_files(
        model, images, label_offset=config.label_offset, **build.preparation(config)
    )
    for result in results:
        print(result["file"])
        for prediction in result["predictions"]:
            print(f"  {prediction['probability']:7.2%}  class {prediction['class']}")
    return {"results": results}


def _map(images: list[str]) -> dict:
    from efficientnet_tf.analysis import cam
    from efficientnet_tf.training import build

    config, model = _model()
    result = cam.save_maps(
        model,
        images,
        directory=flags.cam_dir(),
        classes=flags.cam_class(config),
        label_offset=config.label_offset,
        **build.preparation(config),
    )
    for one in result["results"]:
        print(one["file"])
        print(f"  {one['probability']:7.2%}  class {one['class']}  {one['path']}")
    print(f"all           {result['grid']}")
    return result


def plan(*, start: int = settings.BATCH, steps: int = 8) -> dict:
    """Plans what the flags say, prints it and returns it as plain data.

    Args:
        start: see `plan.find_batch`, of which --find_batch makes use.
        steps: see there.
    """
    from efficientnet_tf.hardware import packages
    from efficientnet_tf.planning import chips

    packages.check_compiles_here()
    if FLAGS.dump:
        files.make_folder(FLAGS.dump, label="--dump=")
    replicas = 1
    if FLAGS.chip not in chips.HERE:
        _, replicas = chips.slice_of(chips.find(FLAGS.chip), FLAGS.slice)
    flags.to_planned_config(replicas=replicas)  # checked before TensorFlow comes
    from efficientnet_tf.planning import plan as planner
    from efficientnet_tf.planning import report

    def at(batch: int | None = None) -> planner.Plan:
        return planner.plan(
            flags.to_planned_config(replicas=replicas, batch=batch),
            chip=FLAGS.chip,
            step=FLAGS.plan_step,
            shape=FLAGS.slice,
            effort=FLAGS.effort,
            dump=FLAGS.dump,
        )

    if FLAGS.find_batch:
        return report.batches(planner.find_batch(at, start=start, steps=steps))
    return report.single(at(), dump=FLAGS.dump)


def _model():
    """The run's model, or that of --weights in a mode that takes them as they are."""
    from efficientnet_tf.training import build

    if FLAGS.weights and FLAGS.mode in flags.WITH_WEIGHTS:
        config, checkpoint = _pretrained()
        return config, build.finished_model(config, checkpoint)
    config = _config_of_run()
    return config, build.trained_model(config, model_dir=flags.model_dir())


def _pretrained():
    from efficientnet_tf.training import build
    from efficientnet_tf.weights import reading

    checkpoint = reading.open_source(
        FLAGS.weights, flags.model(), ema=FLAGS.weights_ema is not False
    )
    return flags.of_weights(build.stated(checkpoint)), checkpoint


def _config_of_run():
    from efficientnet_tf.training import run_dir

    return flags.of_trained_run(run_dir.read_config(flags.model_dir()))


def _strategy(cluster: hosts.Cluster | None):
    """Comes before every other import: some of them put devices to use."""
    place = {"tpu": FLAGS.tpu, "zone": FLAGS.zone, "project": FLAGS.project}
    try:
        device, lines = preflight.prepare(
            FLAGS.device, tpu_runtime=FLAGS.tpu_runtime, **place
        )
        _tell([*lines, *([cluster.waiting()] if cluster else [])])
        from efficientnet_tf.hardware import devices

        strategy = devices.make_strategy(
            device, num_cpu_devices=FLAGS.num_cpu_devices, cluster=cluster, **place
        )
    except ValueError as error:
        raise ValueError(f"--{error}") from None
    if device == "auto":
        _tell(filter(None, [devices.unused_card(strategy)]))
    return strategy


def _tell(lines) -> None:
    """What is no result goes to stderr."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _print_scores(result: dict) -> None:
    print(
        f"validation    top-1 {result['top_1']:.2%}, top-5 {result['top_5']:.2%} on "
        f"{result['examples']} images, {result['weights']} weights"
    )


def _print_next_steps(model_dir: str) -> None:
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    print(
        f"run           {model_dir}: config.json, metrics.jsonl, checkpoints/, best/\n"
        f"TensorBoard   tensorboard --logdir {model_dir}\n"
        f"\n"
        f"What to try next:\n"
        f"  {python} main.py --mode=predict --model_dir={model_dir} IMAGE ...\n"
        f"  {python} main.py --mode=eval --model_dir={model_dir}\n"
        f"  {python} main.py --dataset=imagenet --data_dir=YOUR_TFRECORDS\n"
        f"  {python} main.py --help"
    )


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    app.run(main, flags_parser=parse)
