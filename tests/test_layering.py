"""Imports go one way, and the light modules stay light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "efficientnet_tf"

LIGHT = (
    "blocks",
    "variants",
    "expansion",
    "counting",
    *("command_line.answers", "command_line.failure", "command_line.paths"),
    *("commands.list", "commands.settings"),
    "model_names",
    "recipes",
    "config",
    "settings",
    "label_sets",
    "data.augment.policies",
    "data.catalogue",
    "data.detection",
    "data.folder",
    "data.held_out",
    "data.image_headers",
    "data.image_tree",
    "data.inventory",
    "data.label_csv",
    "data.manifest",
    "data.photos",
    "data.shards",
    "data.tfds_table",
    "data.writing.imagenet_tars",
    "data.writing.plan",
    "hardware.hosts",
    "hardware.preflight",
    "planning.planned_run",
    "scaling.budget",
    "scaling.compound",
    *("serve.listening", "serve.settings"),
    "weights.releases",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def rows():
    """The row of each room in the picture of docs/design.md, from the top."""
    design = (ROOT / "docs/design.md").read_text()
    picture = design.split("## Rooms")[1].split("```")[1].strip()
    return {
        name.removesuffix(".py").removesuffix("/"): row
        for row, line in enumerate(picture.splitlines())
        for name in line.split("  ")[0].split()
    }


ROWS = rows()


def room_of(names):
    """The room of a module, from the parts of its name below the package."""
    return "*/settings" if names[1:2] == ["settings"] else names[0]


def imports(path):
    """Dotted names of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if room == "__init__":
        return
    names = [name.split(".") for name in imports(path)]
    ours = [rest for package, *rest in names if package == "efficientnet_tf"]
    used = {room_of(name) for name in ours if name[0] != room} - {room}
    assert not [name for name in used if ROWS[name] <= ROWS[room]]


@pytest.mark.parametrize("name", ["inference", "export", "serve"])
def test_serving_needs_no_training(name):
    for path in (PACKAGE / name).glob("*.py"):
        names = list(imports(path))
        assert not [n for n in names if n.startswith("efficientnet_tf.training")], path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_touches_absl_flags(path):
    assert not [name for name in imports(path) if name.startswith("absl.flags")]


@pytest.mark.parametrize("name", ["data", "models", "export"])
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


def test_graphs_call_python_in_one_place():
    """Where the rule stands of what such a call may wait for."""
    words = ("tf.numpy_function", "tf.py_function")
    found = [p for p in FILES if any(word in p.read_text() for word in words)]
    assert found == [PACKAGE / "data" / "graphs.py"]


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
