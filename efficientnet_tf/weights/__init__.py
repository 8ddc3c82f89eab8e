"""Weights in and out: releases, files of known projects, what they hold, conversion."""
