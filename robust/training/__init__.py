"""What a training step is made of: update, optimizer, checkpoints, measurements."""
