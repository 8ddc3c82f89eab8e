"""Imports go one way, and the light modules stay light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "efficientnet_tf"

# Each part of the house and the parts it may import.
MAY_IMPORT = {
    "blocks": set(),
    "files": set(),
    "variants": set(),
    "expansion": {"blocks", "variants"},
    "counting": {"expansion", "variants"},
    "recipes": {"variants", "data"},  # of data, what LIGHT lists
    "config": {"expansion", "recipes", "variants", "data"},
    "weights": {"expansion", "variants"},
    "models": {"expansion", "variants", "weights"},
    "data": {"files"},
    "hardware": set(),
    "training": {
        "hardware",
        "files",
        "config",
        "data",
        "expansion",
        "models",
        "variants",
    }
    | {"weights"},
    "export": {"files", "data"},
    "planning": {"files", "config", "export", "hardware", "training"},
    "scaling": {"expansion", "counting", "variants", "config", "models"}
    | {"analysis", "planning", "training"},
    "search": {
        "files",
        "blocks",
        "config",
        "counting",
        "expansion",
        "training",
        "variants",
    }
    | {"analysis"},
    "analysis": {"files", "counting", "export", "models"},
    "paper": {"files", "analysis", "config", "counting", "data", "expansion", "export"}
    | {"models", "scaling", "training", "variants", "weights"},
}
LIGHT = (
    "blocks",
    "variants",
    "expansion",
    "counting",
    "recipes",
    "config",
    "data.detection",
    "data.folder",
    "data.tfds_table",
    "hardware.hosts",
    "hardware.preflight",
    "planning.settings",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path):
    """Dotted names of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return
    ours = [name.split(".")[1] for name in imports(path) if "efficientnet_tf." in name]
    assert set(ours) <= MAY_IMPORT[part] | {part}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_touches_absl_flags(path):
    assert not [name for name in imports(path) if name.startswith("absl.flags")]


@pytest.mark.parametrize("name", ["data", "export", "models"])
def test_leaves_take_no_config(name):
    for path in (PACKAGE / name).glob("*.py"):
        assert "Config" not in [
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        ], path


def test_models_use_keras_alone():
    for path in (PACKAGE / "models").glob("*.py"):
        # Replicas, which grouped batch norm adds over, are TensorFlow's.
        if path.name != "normalization.py":
            assert not [n for n in imports(path) if n.startswith("tensorflow")], path


def test_package_and_light_modules_import_without_tensorflow():
    names = ", ".join(f"efficientnet_tf.{name}" for name in LIGHT)
    script = (
        f"import sys, efficientnet_tf, {names}, flags; efficientnet_tf.list_variants();"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_every_public_name_resolves():
    import efficientnet_tf

    for name in efficientnet_tf.__all__:
        assert getattr(efficientnet_tf, name).__doc__, name
