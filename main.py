"""Trains, evaluates and exports EfficientNets.

python main.py                                     # digits, minutes on a laptop
python main.py --dataset=imagenet --data_dir=DIR --model=efficientnet-b0
python main.py --mode=predict image.jpg ...        # with the model just trained
"""

import json
import os
import sys

from absl import app
from absl import flags as absl_flags

import flags

FLAGS = flags.FLAGS


def parse(argv: list[str]):
    """Parses and checks every flag, before TensorFlow is imported."""
    positional = app.parse_flags_with_usage(argv)[1:]
    try:
        if positional and FLAGS.mode != "predict":
            raise absl_flags.Error(f"unexpected argument {positional[0]!r}")
        if not positional and FLAGS.mode == "predict":
            raise absl_flags.Error("--mode=predict: name one or more image files")
        config = None
        if FLAGS.mode in ("train", "train_and_evaluate"):
            config = flags.to_config()
    except absl_flags.Error as error:
        sys.exit(f"error: {error}")
    return config, positional


def main(parsed) -> None:
    """Runs the mode asked for and prints its result."""
    config, images = parsed
    # Errors reach the user as exceptions; below that TensorFlow logs noise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from efficientnet_tf.training import devices  # imports TensorFlow: seconds

    try:
        strategy = devices.make_strategy(
            FLAGS.device, tpu=FLAGS.tpu, num_cpu_devices=FLAGS.num_cpu_devices
        )
        if config is not None:
            result = _train(config, strategy)
        elif FLAGS.mode == "eval":
            result = _evaluate(strategy)
        elif FLAGS.mode == "export":
            result = _export()
        else:
            result = _predict(images)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    if FLAGS.json:
        print(json.dumps(result), flush=True)


def _train(config, strategy) -> dict:
    from efficientnet_tf.training import loop

    model_dir = flags.model_dir()
    evaluate = FLAGS.mode == "train_and_evaluate"
    result = loop.train(
        config, model_dir=model_dir, strategy=strategy, evaluate=evaluate
    )
    result |= {"model_dir": model_dir}
    if result["finished"] and evaluate:
        result |= _export()
        _print_scores(result)
        _print_next_steps(result)
    return result


def _evaluate(strategy) -> dict:
    from efficientnet_tf.training import loop, run_dir

    model_dir = flags.model_dir()
    result = loop.evaluate_run(
        run_dir.read_config(model_dir), model_dir=model_dir, strategy=strategy
    )
    _print_scores(result)
    return result


def _export() -> dict:
    from efficientnet_tf.export import saved_model
    from efficientnet_tf.training import build

    model, config = build.trained_model(flags.model_dir())
    path = saved_model.save(
        model,
        flags.export_dir(),
        image_size=config.image_size,
        crop_fraction=build.crop_fraction(config),
    )
    print(f"SavedModel    {path}")
    return {"export_dir": path}


def _predict(images: list[str]) -> dict:
    from efficientnet_tf.export import predict
    from efficientnet_tf.training import build

    model, config = build.trained_model(flags.model_dir())
    results = predict.predict_files(
        model,
        images,
        image_size=config.image_size,
        crop_fraction=build.crop_fraction(config),
    )
    for result in results:
        print(result["file"])
        for prediction in result["predictions"]:
            print(f"  {prediction['probability']:7.2%}  class {prediction['class']}")
    return {"results": results}


def _print_scores(result: dict) -> None:
    print(
        f"validation    top-1 {result['top_1']:.2%}, top-5 {result['top_5']:.2%} on "
        f"{result['examples']} images, {result['weights']} weights"
    )


def _print_next_steps(result: dict) -> None:
    model_dir = result["model_dir"]
    print(
        f"run           {model_dir} (config.json, metrics.jsonl, checkpoints/, best/)\n"
        f"TensorBoard   tensorboard --logdir {model_dir}\n"
        f"Next:\n"
        f"  python main.py --mode=predict --model_dir={model_dir} IMAGE ...\n"
        f"  python main.py --mode=eval --model_dir={model_dir}\n"
        f"  python main.py --dataset=imagenet --data_dir=DIR --model_dir=DIR   "
        f"your own TFRecords\n"
        f"  python main.py --help"
    )


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    app.run(main, flags_parser=parse)
