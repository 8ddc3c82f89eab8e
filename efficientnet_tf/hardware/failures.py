"""Turns TensorFlow's errors about devices into one line each."""

import re

from efficientnet_tf.hardware import packages

# Text in errors of TensorFlow and libtpu, and its meaning for the user. The first
# that matches counts. Each text was seen with TensorFlow 2.20 on a machine without a
# TPU, or stands in its tpu_initializer_helper.cc.
_TPU = {
    r"already in use": (
        "another process is using the TPU; find it with sudo lsof -w /dev/accel* "
        "/dev/vfio/*; if there is none, sudo rm /tmp/libtpu_lockfile"
    ),
    r"TPU_LOAD_LIBRARY=0": (
        "TPU_LOAD_LIBRARY=0 is set, which keeps libtpu out of this process; unset it "
        "to use this machine's chips, or give --tpu the name of the slice"
    ),
    r"[Pp]ermission denied|Operation not permitted|PERMISSION_DENIED": (
        "no permission to open the TPU's device files; run this as their owner or with "
        "sudo"
    ),
    r"Op type not registered|[Vv]ersion mismatch|Unable to parse|UNIMPLEMENTED": (
        "the TPU's hosts run another version of TensorFlow than "
        f"{packages.TENSORFLOW}; create the TPU with that version, or run main.py on "
        "the TPU VM with --tpu=local"
    ),
    r"[Ff]ailed to connect|UNAVAILABLE|Deadline|unavailable|timed? ?out": (
        "the TPU's hosts do not answer; check that the TPU is ready and that this "
        "machine is in its network"
    ),
    r"no registered kernels|No OpKernel": (
        f"the installed TensorFlow has no TPU support; {packages.INSTALL}"
    ),
    r"No matching devices|TPUs not found": (
        "TensorFlow sees no TPU: there is none, or another process has it (sudo lsof "
        "-w /dev/accel* /dev/vfio/* finds that process)"
    ),
    r"RET_CHECK|No TPU|no TPU|Could not open|not found|NOT_FOUND|platform": (
        "TensorFlow finds no TPU on this machine; run this on a TPU VM, or give --tpu "
        "the name of a TPU"
    ),
}


def of_tpu(error: BaseException, tpu: str | None) -> str:
    """Says in one line why connecting to a TPU failed.

    Args:
        error: the error that TensorFlow raised.
        tpu: the value of `--tpu`.
    """
    text = str(error)
    for pattern, meaning in _TPU.items():
        if re.search(pattern, text):
            return f"tpu={tpu or 'local'}: {meaning}"
    return f"tpu={tpu or 'local'}: cannot reach the TPU ({first_line(error)})"


def first_line(error: BaseException) -> str:
    """Returns the first line of an error, without the graph that TensorFlow adds."""
    text = re.sub(r"\{\{.*?\}\}|\[\[.*", "", str(error)).strip()
    line = text.splitlines()[0].strip() if text else type(error).__name__
    return line if len(line) <= 200 else f"{line[:197]}..."
