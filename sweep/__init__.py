"""The sweep: what runs, where, and what is kept of it."""
