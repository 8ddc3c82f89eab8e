"""Reads a command line without absl and TensorFlow, and says what is wrong with it."""
