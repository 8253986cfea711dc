"""One pack, from data to records; knows nothing of Ray."""
