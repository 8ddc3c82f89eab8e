"""The report of an evaluation: one HTML page and a table of predictions."""
