"""A finished model at work: predictions and class activation maps of image files."""
