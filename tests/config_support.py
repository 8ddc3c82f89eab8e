"""Configurations that several test files share."""

import dataclasses

from efficientnet_tf import config

FIELDS = {field.name: field for field in dataclasses.fields(config.Config)}


IMAGENET = {"dataset": "imagenet", "data_dir": "gs://bucket/imagenet"}
