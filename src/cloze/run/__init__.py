"""A run: set-up of the machine, the folder, the summary."""
