"""From a configuration to trials, and from trials to packs (pure)."""
