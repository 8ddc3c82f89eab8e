"""A run's folder and the model in it, for all commands that use a trained run."""
