"""--mode=list: the networks, their sizes and releases, and what is on this machine."""

from efficientnet_tf import counting, variants
from efficientnet_tf.weights import releases

_ROW = "{:34} {:>11} {:>9} {:>5}  {}"


def run() -> dict:
    """Prints every variant; counts at its own image size, with 1,000 classes.

    Returns:
        "variants", for each "name", "params", "macs", "image_size" and "releases":
        "name" of each, its "package" for pip (None: it is downloaded), and "here",
        whether the file is in the cache or in an installed package.
    """
    found = [_variant(name) for name in variants.list_variants()]
    print(_ROW.format("model", "parameters", "MACs", "size", "releases"))
    for one in found:
        print(_line(one))
    print(
        "\n* is on this machine, in an installed package or in "
        f"{releases.default_dir()}.\n"
        "--weights=RELEASE --model=MODEL takes one; others are downloaded, or an error "
        "names the package to install."
    )
    return {"variants": found}


def _variant(name: str) -> dict:
    count = counting.count(name)
    return {
        "name": name,
        "params": count.params,
        "macs": count.macs,
        "image_size": variants.get_variant(name).resolution,
        "releases": [_release(name, one) for one in releases.list_releases(name)],
    }


def _release(variant: str, name: str) -> dict:
    release = releases.find(variant, name)
    here = releases.is_here(release)
    return {"name": name, "package": release.wheel or None, "here": here}


def _line(one: dict) -> str:
    names = (r["name"] + "*" * r["here"] for r in one["releases"])
    return _ROW.format(
        one["name"],
        f"{one['params']:,}",
        f"{one['macs'] / 1e9:.3f} G",
        one["image_size"],
        ", ".join(names) or "none",
    )
