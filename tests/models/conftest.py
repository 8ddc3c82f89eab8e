"""Fixtures that several files of this folder share."""

import pytest


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_TF_OFFLINE", "1")
