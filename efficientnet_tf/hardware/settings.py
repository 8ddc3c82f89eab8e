"""The settings of the hardware; imports no TensorFlow, does not look at the machine."""

import dataclasses
from typing import Literal

from efficientnet_tf.hardware import tpu as tpu_lib
from efficientnet_tf.settings import Section, at_least, choice, setting

MOST_CPU_DEVICES = 64  # each has threads of its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardware(Section):
    """The hardware that a command computes on; see each field's help."""

    device: Literal["auto", "tpu", "gpu", "cpu"] = setting(
        "hardware to run on", default="auto"
    )
    tpu: str | None = setting(
        "Cloud TPU name, grpc://HOST:PORT, or local on a TPU VM", default=None
    )
    tpu_runtime: str = setting(
        "runtime of this machine's TPU: pjrt (v5e, v5p, v6e and later) or "
        "stream_executor (v2 to v4); auto: chosen by the accelerator type",
        choice(*tpu_lib.RUNTIMES),
        default="auto",
    )
    zone: str | None = setting(
        "zone of the TPU that --tpu names; None: this machine's", default=None
    )
    project: str | None = setting(
        "project of the TPU that --tpu names; None: this machine's", default=None
    )
    num_cpu_devices: int = setting(
        "virtual CPU devices, to try a distributed run on one machine",
        at_least(1, MOST_CPU_DEVICES),
        default=1,
    )

    def check_together(self) -> None:
        """Raises ValueError where settings contradict each other."""
        if self.tpu == "":
            raise ValueError("tpu=: is empty; give a TPU's name, or local on a TPU VM")
        if self.tpu:
            tpu_lib.check_spelling(self.tpu)
        if self.tpu and self.device not in ("auto", "tpu"):
            raise ValueError(f"tpu={self.tpu} contradicts --device={self.device}")
        if self.num_cpu_devices > 1 and (
            self.tpu or self.device not in ("auto", "cpu")
        ):
            raise ValueError(
                f"num_cpu_devices={self.num_cpu_devices}: allowed is 1 except on the "
                "CPU"
            )
        for name in ("zone", "project"):
            if getattr(self, name) and not tpu_lib.is_name(self.tpu):
                raise ValueError(
                    f"{name}={getattr(self, name)}: needs --tpu=NAME; name the TPU, or "
                    f"leave the {name} out"
                )
        if tpu_lib.is_remote(self.tpu) and self.tpu_runtime != "auto":
            raise ValueError(
                f"tpu_runtime={self.tpu_runtime}: applies to this machine's TPU only, "
                f"and --tpu={self.tpu} is on another machine; leave it out"
            )
