"""What is done with records beside running sweeps: checked, and brought to today's schema."""
