"""Many trainings compared: searches for a baseline and coefficients, the studies."""
