"""TensorFlow's checkpoints of a BERT (google-research/bert), read and written without TensorFlow."""

from cloze.checkpoint.google.folder import GoogleCheckpoint, is_google_folder, read_google, write_google

__all__ = ["GoogleCheckpoint", "is_google_folder", "read_google", "write_google"]
