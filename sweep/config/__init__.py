"""The configuration: its schema, its composition by Hydra, its checks."""
