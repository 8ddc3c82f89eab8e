"""The hardware of a run: finds and checks TPU, GPU or CPU, and makes the strategy."""
