"""Trains, evaluates and exports EfficientNets.

python main.py                                     # digits, minutes on a laptop
python main.py --dataset=imagenet --data_dir=DIR --model=efficientnet-b0
python main.py --mode=predict image.jpg ...        # with the model just trained
python main.py --mode=cam --weights=FILE photo.jpg  # where it finds the class
"""

from efficientnet_tf import interruption

if __name__ == "__main__":
    interruption.end_at_once()  # while the modules below and TensorFlow are imported

import contextlib
import importlib
import json
import os

from absl import app, logging
from absl import flags as absl_flags

import flags
from efficientnet_tf import disk, files, imports, terminal
from efficientnet_tf.command_line import failure, paths
from efficientnet_tf.hardware import hosts, preflight, strategies


def parse(argv: list[str]) -> list[str]:
    """Parses the flags, or ends with one line of error."""
    try:
        return flags.parse(argv)
    except ValueError as error:
        failure.end(error, flags.in_words(error), as_json=flags.wants_json(argv))


def main(argv: list[str]) -> int:
    """Runs the mode asked for and prints its result; returns the exit code."""
    # Silences the logs of TensorFlow and orbit; errors reach the user as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    try:
        with terminal.tolerant():
            result = _run(images=argv[1:])
            if flags.FLAGS.json and result:
                print(json.dumps(result), flush=True)
    except (ValueError, FloatingPointError, hosts.HostLostError) as error:
        failure.end(error, flags.in_words(error), as_json=flags.FLAGS.json)
    except KeyboardInterrupt as error:
        failure.end(error, interruption.TEXT, as_json=flags.FLAGS.json)
    except Exception as error:
        if reason := files.why_refused(error) or disk.in_words(error):
            failure.end(error, reason, as_json=flags.FLAGS.json)
        if flags.FLAGS.json:
            print(failure.to_json(error, repr(error)), flush=True)
        raise
    return failure.code(result)


def _run(images: list[str]) -> dict:
    """Checks all that can be checked without TensorFlow, then runs the command."""
    mode, arguments = flags.mode(images)
    paths.check(**arguments)
    preflight.before_import()
    with contextlib.ExitStack() as stack:
        with imports.fast():  # TensorFlow is imported here
            devices = (
                stack.enter_context(strategies.opened(flags.hardware()))
                if mode.on_devices
                else ()
            )
            module = importlib.import_module(f"efficientnet_tf.commands.{mode.command}")
        with interruption.raised():
            return module.run(*devices, **arguments)


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    app.run(main, flags_parser=parse)
