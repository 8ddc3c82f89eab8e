"""Many trainings to compare: a folder each, several at a time, continued after a kill.

A finished trial leaves `result.json`, from which the same call reads its result.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting, files, imports
from efficientnet_tf.hardware import freed_memory, machine
from efficientnet_tf.variants import Variant


def run(
    trials: Mapping[str, config_lib.Config],
    *,
    root: str,
    workers: int = 1,
    device: str = "auto",
) -> dict[str, dict]:
    """Trains the trials that are not trained yet, and prints each one's scores.

    Args:
        trials: the runs by name; a trial's folder is `root`/name.
        root: local folder.
        workers: processes, each with a GPU of its own if there are several, else with
            its share of the CPU's cores.
        device: "auto", "tpu", "gpu" or "cpu".

    Returns:
        What `train_one` returns, by name, in the order of `trials`.

    Raises:
        ValueError: if a folder holds another trial's result.
        InterruptedError: if a worker was stopped or killed.
    """
    found = {name: _result(f"{root}/{name}", c) for name, c in trials.items()}
    results = {name: result for name, result in found.items() if result is not None}
    missing = [name for name in trials if name not in results]
    if not missing:
        return results
    with worker_pool(workers) as pool:
        jobs = {
            pool.submit(train_one, trials[name], f"{root}/{name}", device=device): name
            for name in missing
        }
        for number, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            name = jobs[job]
            try:
                results[name] = result = job.result()
            except concurrent.futures.process.BrokenProcessPool:
                raise InterruptedError(
                    f"{root}: a worker was killed, perhaps for its memory; the same "
                    "command continues, with fewer --workers in less memory"
                ) from None
            print(
                f"trial {number} of {len(missing)}  {name}: held-out top-1 "
                f"{result['held_out_top_1']:.2%}, validation {result['top_1']:.2%}, "
                f"{result['seconds']:.0f} s",
                flush=True,
            )
    return {name: results[name] for name in trials}


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Yields a pool of processes, each with its share of the machine.

    Ctrl-C kills them: what they have saved is whole, and the same command continues.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    slots = context.SimpleQueue()
    for slot in range(workers):
        slots.put(slot)
    others = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=_start_worker, initargs=(slots, workers)
    ) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise


def train_one(
    config: config_lib.Config, model_dir: str, *, device: str = "auto"
) -> dict:
    """Trains or continues one trial, or takes its result if it is finished.

    Args:
        config: the trial's configuration.
        model_dir: the trial's folder; the training prints into its log.txt.
        device: "auto", "tpu", "gpu" or "cpu".

    Returns:
        The result of `loop.train`, "held_out_top_1" and "seconds" since the start or
        restart. A search goes by "held_out_top_1": the best weights' top-1 on images
        that are neither trained on nor in the validation data, or, where nothing is
        held out, on the validation data. A loss that stops being finite makes all
        accuracies 0 and is named in "error".

    Raises:
        InterruptedError: after SIGTERM or Ctrl-C, with the run saved.
        ValueError: if images may have several labels, which have no top-1.
    """
    if config.multi_label:
        raise ValueError(
            "multi_label=True: searches and studies compare top-1; allowed is one "
            "label an image"
        )
    result = _result(model_dir, config)
    if result is not None:
        return result
    os.makedirs(model_dir, exist_ok=True)
    began = time.time()
    with (
        open(f"{model_dir}/log.txt", "a") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        freed_memory.passing_graphs(),
    ):
        result = _train(config, model_dir, device)
    result["seconds"] = time.time() - began
    content = {"config": _settings(config), "result": result}
    files.write_whole(f"{model_dir}/result.json", json.dumps(content, indent=2))
    return result


def _train(config: config_lib.Config, model_dir: str, device: str) -> dict:
    import keras

    from efficientnet_tf.hardware import devices
    from efficientnet_tf.runs import metrics
    from efficientnet_tf.training import loop

    keras.backend.clear_session()
    strategy = devices.make_strategy(device)
    try:
        result = loop.train(config, model_dir=model_dir, strategy=strategy)
    except FloatingPointError as error:
        return {"top_1": 0.0, "held_out_top_1": 0.0, "error": str(error)}
    if not result["finished"]:
        raise InterruptedError(
            f"{model_dir}: {result['stopped_by']} at step {result['step']}; the same "
            "command continues"
        )
    evaluations = [
        line.get("top_1") or 0.0  # a damaged line may lack it
        for line in metrics.read(model_dir)
        if line["kind"] == "eval" and line.get("split") == "minival"
    ]
    return result | {"held_out_top_1": max(evaluations, default=result["top_1"])}


def _start_worker(slots: Any, workers: int) -> None:
    """Gives a worker process its share of the machine, and ends it with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's, which ends us
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    imports.tensorflow()
    import tensorflow as tf

    slot = slots.get()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices([gpus[slot % len(gpus)]], "GPU")
    threads = max(1, machine.cores() // workers)
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def _end_with_parent() -> None:
    """Ends this worker with its parent; else it would train on beside later workers."""
    parent = multiprocessing.parent_process()
    if parent:
        multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _result(model_dir: str, config: config_lib.Config) -> dict | None:
    """Returns a finished trial's result; None if there is none."""
    path = f"{model_dir}/result.json"
    if not os.path.exists(path):
        return None
    with open(path) as file:
        try:
            saved = json.load(file)
            settings, result = saved["config"], saved["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: is damaged ({error}); delete it to train anew"
            ) from None
    # An older version's result lacks the settings that came later, at their defaults.
    if config_lib.DEFAULTS | settings != _settings(config):
        raise ValueError(
            f"{path} belongs to a trial with other settings: name another folder, or "
            "delete this one"
        )
    return result


def _settings(config: config_lib.Config) -> dict:
    """Returns all that distinguishes trials; not data_dir, for the data may move."""
    return json.loads(config_lib.dumps(config)) | {"data_dir": None}


def check_holds_out(config: config_lib.Config) -> None:
    """Raises ValueError unless a run holds out images, by which a search chooses."""
    if not config.minival_shards:
        raise ValueError(
            "minival_shards=0: a search chooses by held-out images; allowed is more"
        )


def network(config: config_lib.Config) -> Variant:
    """Returns a run's network, at the image size that it is trained at."""
    return dataclasses.replace(config.variant, resolution=config.image_size)


def count(config: config_lib.Config) -> counting.Count:
    """Counts a run's network, with the image size and classes of the run."""
    return counting.count(network(config), classes=config.num_classes)


def with_network(config: config_lib.Config, scaled: Variant) -> config_lib.Config:
    """Returns the run with another scaling of its network; all else stays.

    Args:
        config: the run.
        scaled: the network with the scaling to take.
    """
    return dataclasses.replace(
        config,
        width_coefficient=scaled.width,
        depth_coefficient=scaled.depth,
        image_size=scaled.resolution,
    )
