"""A run: the machine set up for it, its folder, its summary."""
