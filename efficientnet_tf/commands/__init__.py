"""The modes of main.py, a module each: plain arguments in, a dict out.

`run` raises ValueError, in one line, for a setting, file or folder that is wrong.
"""
