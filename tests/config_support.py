"""Configurations that several test files share."""

IMAGENET = {"dataset": "imagenet", "data_dir": "gs://bucket/imagenet"}
