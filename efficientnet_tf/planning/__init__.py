"""Plans a step's memory and time on a TPU with its own compiler, without a TPU."""
