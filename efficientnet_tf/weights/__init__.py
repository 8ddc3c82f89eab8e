"""Weights of this and other projects: releases, files, passports, conversion."""
