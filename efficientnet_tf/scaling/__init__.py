"""Compound scaling of any network: coefficients, and scaling to a budget."""
