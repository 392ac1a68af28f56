"""Plain functions on numbers and arrays, shared by the engines. Nothing here imports numba.

The reference engine calls them as they are; the compiled engine compiles these same sources.
"""
