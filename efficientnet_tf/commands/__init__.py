"""The modes of main.py, one module each; `run` takes plain arguments, returns a dict.

It raises ValueError, in one line, for a setting, file or folder that is wrong. A result
that holds "failed" ends the program with exit code 1.
"""
