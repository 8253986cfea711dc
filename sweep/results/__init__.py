"""What is on disk: records, checkpoints, and who may write them."""
