"""A whole sweep: plan, run, keep count, report."""
