"""Suffixes of file names, by what the files hold."""

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")  # what TensorFlow decodes
# Images that TensorFlow does not decode. They raise an error, because training on fewer
# images than the user believes would be worse.
OTHER_IMAGES = (
    *(".avif", ".dng", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jxl"),
    *(".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga", ".tif", ".tiff"),
    ".webp",
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
