"""Build the objects of a checked configuration, and train them to a model folder."""
