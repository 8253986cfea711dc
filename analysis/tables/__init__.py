"""The tables, one file each; a module's `TABLE` is found by being here."""
