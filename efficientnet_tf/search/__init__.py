"""The search of section 4 for a baseline: networks sampled, trained and compared."""
