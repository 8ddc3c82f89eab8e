"""What a run computes on: TPU, GPU or CPU, found, checked and made a strategy of."""
