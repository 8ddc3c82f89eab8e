"""Plans a step's memory and time on a TPU with the TPU's compiler, without a TPU."""
