"""From a checked configuration to objects, and from objects to a trained model folder."""
