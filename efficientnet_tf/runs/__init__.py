"""A run's folder and the model in it, for everything after the training."""
