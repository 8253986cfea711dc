"""The command `robust-sweep`: every script of the project behind one name.

The only package that imports both `sweep` and `analysis`; only scripts import it.
"""

__version__ = "0.1.0"
