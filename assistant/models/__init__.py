"""What a model is: its name, its architecture, its file, and the catalog of known ones."""
