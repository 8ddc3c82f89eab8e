"""Installs efficientnet_tf; `pip install -e '.[test]'` to work on it."""

import setuptools

PLAN = [
    "jax[tpu]==0.10.2; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "libtpu==0.0.42.1; sys_platform == 'linux' and platform_machine == 'x86_64'",
]

# TensorFlow's other builds. The one for TPUs is a distribution of its own that writes
# over the files of `tensorflow`; what its libtpu may be, efficientnet_tf/hardware/
# packages.py says.
_ON_TPU = "sys_platform == 'linux' and platform_machine == 'x86_64'"
TPU = [f"tensorflow-tpu==2.20.0; {_ON_TPU}", f"libtpu==0.0.31; {_ON_TPU}"]
GPU = ["tensorflow[and-cuda]==2.20.*"]

setuptools.setup(
    name="efficientnet_tf",
    version="0.1.0",
    description="EfficientNet in TensorFlow and Keras 3: models, recipe and method",
    python_requires=">=3.11,<3.14",  # as TensorFlow 2.20
    packages=setuptools.find_packages(include=["efficientnet_tf*"]),
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
        "scikit-learn",
        "tqdm",
    ],
    extras_require={
        "test": ["optuna", "pytest", "pytest-xdist", "ruff", *PLAN],
        "tpu": TPU,
        "gpu": GPU,
        # The TPU's compiler, to be asked without a TPU. Its interfaces are private.
        "plan": PLAN,
        # To read .pth files, and to test against PyTorch's own networks.
        "torch": ["torch>=2.6", "torchvision", "timm>=1.0"],
        "search": ["optuna"],
        "notebook": ["jupyter"],
    },
)
