"""The paper's tables and figures (arXiv 1905.11946), computed and measured."""
