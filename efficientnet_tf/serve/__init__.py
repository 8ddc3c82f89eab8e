"""A classifier behind HTTP: predictions, class activation maps, a page, and limits."""
