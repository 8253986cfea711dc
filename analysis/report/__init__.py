"""The report: one self-contained page with every table, figure and where they come from."""
