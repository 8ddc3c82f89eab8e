"""Searches over the proxy's space."""

import csv
import pathlib

import pytest

from efficientnet_tf.experiments import (
    scaling_study,
    search_space,
)

optuna = pytest.importorskip("optuna", reason="needs pip install -e '.[search]'")


PROXY = search_space.Space(tuple(scaling_study.PROXY["blocks"].split(",")))


SETTINGS = {"model": "efficientnet-test", "image_size": 16, "dataset": "digits"}


def read_csv(path: pathlib.Path) -> list[dict]:
    return list(csv.DictReader(path.read_text().splitlines()))
