"""Opening a run to serve it costs TensorFlow and Keras, and nothing of the training."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
RUN = ROOT / "tests/runs/begun_at_094b210"
SCRIPT = """
import sys
from efficientnet_tf.commands import cam, export, predict
from efficientnet_tf.inference.classifier import Classifier
classifier = Classifier.of_run(sys.argv[1])
assert (classifier.classes, classifier.preparation.image_size) == (10, 32)
print(*sorted({"orbit", "official", "tensorflow_datasets"} & set(sys.modules)))
"""


def test_opening_a_run_imports_nothing_of_the_training():
    command = [sys.executable, "-c", SCRIPT, RUN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
