"""Trained models on their way to where they serve."""
