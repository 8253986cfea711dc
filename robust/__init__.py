"""Robust-optimisation training: packs of networks, bounds, defenses, attacks and certificates.

Needs torch and numpy only (foolbox is imported lazily where it is asked for).
"""
