"""Formats that trained models are exported to, and their latency."""
