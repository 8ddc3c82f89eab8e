"""Many trainings to compare: a folder each, several at a time, continued after a kill.

A finished trial leaves `result.json`; the same call takes it from there.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Mapping

from efficientnet_tf import config as config_lib
from efficientnet_tf import files
from efficientnet_tf.variants import Variant


def run(
    trials: Mapping[str, config_lib.Config],
    *,
    root: str,
    workers: int = 1,
    device: str = "auto",
) -> dict[str, dict]:
    """Trains what is not trained yet; says on stdout what each came to.

    Args:
        trials: the runs by name; a trial's folder is `root`/name.
        root: local folder.
        workers: processes, each with a GPU of its own if there are several, else with
            its share of the CPU's cores.
        device: see `devices.make_strategy`.

    Returns:
        What `train_one` returns, by name, in the order of `trials`.

    Raises:
        ValueError: if a folder holds another trial's result.
        InterruptedError: if a worker was stopped or killed.
    """
    results = {name: _result(f"{root}/{name}", c) for name, c in trials.items()}
    missing = [name for name, result in results.items() if result is None]
    if not missing:
        return results
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    slots = context.SimpleQueue()
    for slot in range(workers):
        slots.put(slot)
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=start_worker, initargs=(slots, workers)
    ) as pool:
        jobs = {
            pool.submit(train_one, trials[name], f"{root}/{name}", device=device): name
            for name in missing
        }
        for number, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            name = jobs[job]
            results[name] = result = _outcome(job, root)
            print(
                f"trial {number} of {len(missing)}  {name}: held-out top-1 "
                f"{result['held_out_top_1']:.2%}, validation {result['top_1']:.2%}, "
                f"{result['seconds']:.0f} s",
                flush=True,
            )
    return results


def _outcome(job: concurrent.futures.Future, root: str) -> dict:
    try:
        return job.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise InterruptedError(
            f"{root}: a worker was killed, perhaps for its memory; the same command "
            "continues, with fewer --workers in less memory"
        ) from None


def train_one(
    config: config_lib.Config, model_dir: str, *, device: str = "auto"
) -> dict:
    """Trains one, or continues it, or takes its result if it is finished.

    Args:
        config: the trial's.
        model_dir: its folder; what the training prints goes to log.txt in it.
        device: see `devices.make_strategy`.

    Returns:
        What `loop.train` returns, "held_out_top_1" (of the best weights, on images
        that are neither trained on nor in the validation data; what a search goes by;
        the validation's where nothing is held out) and "seconds" since the start or
        the restart. A loss that stops being finite makes all accuracies 0 and is named
        in "error".

    Raises:
        InterruptedError: after SIGTERM, with the run saved.
    """
    result = _result(model_dir, config)
    if result is not None:
        return result
    os.makedirs(model_dir, exist_ok=True)
    began = time.time()
    with _prints_to(f"{model_dir}/log.txt"), passing_graphs():
        result = _train(config, model_dir, device)
    result["seconds"] = time.time() - began
    _write_result(model_dir, config, result)
    return result


def _train(config: config_lib.Config, model_dir: str, device: str) -> dict:
    import keras

    from efficientnet_tf.hardware import devices
    from efficientnet_tf.training import loop, run_dir

    keras.backend.clear_session()
    strategy = devices.make_strategy(device)
    try:
        result = loop.train(config, model_dir=model_dir, strategy=strategy)
    except FloatingPointError as error:
        return {"top_1": 0.0, "held_out_top_1": 0.0, "error": str(error)}
    if not result["finished"]:
        raise InterruptedError(
            f"{model_dir}: SIGTERM at step {result['step']}; the same command continues"
        )
    evaluations = [
        line["top_1"]
        for line in run_dir.read_metrics(model_dir)
        if line["kind"] == "eval" and line["split"] == "minival"
    ]
    return result | {"held_out_top_1": max(evaluations, default=result["top_1"])}


@contextlib.contextmanager
def _prints_to(path: str):
    with (
        open(path, "a") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        yield


@contextlib.contextmanager
def passing_graphs():
    """Lets go of the graphs traced inside; they cannot be differentiated afterwards.

    TensorFlow registers each call of a `tf.custom_gradient` that it traces, silu's
    among them, and with it keeps the whole graph: 0.3 GB for each run of B0.
    """
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry  # nothing public takes a name back
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            del registry[name]


def start_worker(slots, workers: int) -> None:
    """Gives a worker process its share of the machine, and ends it with its parent.

    Args:
        slots: a `multiprocessing` queue with the numbers 0 to `workers` - 1.
        workers: how many processes share the machine's cores and GPUs.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    slot = slots.get()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices([gpus[slot % len(gpus)]], "GPU")
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def _end_with_parent() -> None:
    """Else a killed command's workers would train on, beside those of the next one."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _result(model_dir: str, config: config_lib.Config) -> dict | None:
    """A finished trial's result."""
    path = f"{model_dir}/result.json"
    if not os.path.exists(path):
        return None
    with open(path) as file:
        try:
            saved = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; delete it to train anew") from None
    if saved["config"] != _settings(config):
        raise ValueError(
            f"{path} is of a trial with other settings: name another folder, or delete "
            "this one"
        )
    return saved["result"]


def _write_result(model_dir: str, config: config_lib.Config, result: dict) -> None:
    path = f"{model_dir}/result.json"
    content = {"config": _settings(config), "result": result}
    with files.replacing(path) as partial, open(partial, "w") as file:
        json.dump(content, file, indent=2)


def _settings(config: config_lib.Config) -> dict:
    """What makes a trial the one it is; its data may move."""
    settings = json.loads(config_lib.dumps(config))
    del settings["data_dir"]
    return settings


def network(config: config_lib.Config) -> Variant:
    """What a run trains, at the size that it trains it at."""
    return dataclasses.replace(config.variant, resolution=config.image_size)


def with_network(config: config_lib.Config, scaled: Variant) -> config_lib.Config:
    """The run with its own network scaled otherwise; all else stays."""
    return dataclasses.replace(
        config,
        width_coefficient=scaled.width,
        depth_coefficient=scaled.depth,
        image_size=scaled.resolution,
    )
