"""Compound scaling of any network, its coefficients and budgets."""
