"""A SavedModel answers a C program, through TensorFlow's C API, and saved_model_cli."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from efficientnet_tf.export import artifact

pytestmark = pytest.mark.slow
_SOURCE = pathlib.Path(__file__).with_name("predict.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program; gcc finds TensorFlow's libraries in its package."""
    path = tmp_path_factory.mktemp("program") / "predict"
    library = pathlib.Path(tf.sysconfig.get_lib())
    names = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
    subprocess.run(
        ["gcc", _SOURCE, "-o", path, f"-I{tf.sysconfig.get_include()}"]
        + [library / name for name in names]
        + [f"-Wl,-rpath,{library}"],
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    artifact.save(classifier, str(folder))
    return folder


def signature(folder, name):
    """The names of a signature's input and of its probabilities."""
    text = (folder / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(text).meta_graphs[0]
    found = graph.signature_def[name]
    (given,) = found.inputs.values()
    return given.name.split(":")[0], found.outputs["probabilities"].name


def run(program, *arguments):
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return [float(line) for line in done.stdout.split()]


def test_a_c_program_classifies_pixels_and_files(program, exported, classifier, photos):
    blank = np.zeros((1, 32, 32, 3), np.uint8)
    found = run(program, exported, *signature(exported, "tensor"), "32")
    np.testing.assert_allclose(found, classifier.predict(blank)[0], atol=1e-5)
    names = signature(exported, "serving_default")
    found = run(program, exported, *names, "32", photos[0])
    expected = classifier.predict([classifier.read_image(photos[0])])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_saved_model_cli_runs_what_the_readme_says(exported, classifier):
    told = (exported / "README.md").read_text()
    commands = told[told.index("    python -c") :].replace("\\\n", "")
    commands = "\n".join(commands.splitlines()[:2])
    tools = pathlib.Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=exported,
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    numbers = done.stdout.split("Result for output key probabilities:")[1]
    found = np.array(numbers.replace("[", " ").replace("]", " ").split(), float)
    blank = np.zeros((1, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(found, classifier.predict(blank)[0], atol=1e-5)
