"""Reads and writes the entries of zip archives; imported by tools and tests."""

import zipfile


def read_zip(path):
    """The archive's entries by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, entries, *, compression=zipfile.ZIP_STORED):
    """Writes an archive of these entries."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in entries.items():
            archive.writestr(name, value)
