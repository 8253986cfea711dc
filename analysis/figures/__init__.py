"""The figures, one file each; a module's `FIGURE` is found by being here."""
