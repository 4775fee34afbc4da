"""Files, folders and datasets of the hub -> rows with their lines."""
