"""Plug-ins as a user would write them; `tests/test_plugins.py` drops them in."""
