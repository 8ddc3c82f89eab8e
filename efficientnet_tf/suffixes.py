"""Suffixes of file names, by what the files hold."""

# Images that `data.decoding` decodes, by their bytes: these names only find them.
IMAGES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp")
# Images that are not decoded. They raise an error, because training on fewer images
# than the user believes would be worse.
OTHER_IMAGES = (
    *(".avif", ".dng", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".pbm", ".pgm"),
    *(".pnm", ".ppm", ".psd", ".svg", ".tga", ".tif", ".tiff"),
)
TORCH = (".safetensors", ".pth", ".pt", ".bin")
KERAS = (".h5", ".hdf5", ".keras")
# The suffix of a written weights file, by format.
WRITTEN = {
    "efficientnet_tf": ".weights.h5",
    "keras": ".h5",
    "timm": ".safetensors",
    "tf1": ".ckpt",  # by custom; any prefix is allowed
}


def has(path: str, suffixes: str | tuple[str, ...]) -> bool:
    """Whether a path ends in one of some suffixes, in small or capital letters.

    Args:
        path: path or name of a file.
        suffixes: one suffix or several, in small letters.
    """
    return path.lower().endswith(suffixes)
