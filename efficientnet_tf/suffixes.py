"""Suffixes of file names, by what the files hold."""

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")  # what TensorFlow decodes
# Images all the same. Fewer images than a user believes to train on would be worse than
# an error.
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
    "tf1": ".ckpt",  # by custom: any prefix will do
}
