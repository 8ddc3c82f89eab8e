"""Weights of this and of other projects: releases, files, passports, conversion."""
