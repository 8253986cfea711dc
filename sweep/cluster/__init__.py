"""Ray: its start and its end, and packs as Tune trials."""
