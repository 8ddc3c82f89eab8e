"""What a step will take on a TPU, asked of the TPU's own compiler, without a TPU."""
