"""What an evaluation is made of: attacked batches, certificates, diagnostics, soundness."""
