"""Precision and recorded steps: how a step is computed, not what."""
