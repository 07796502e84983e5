"""Compute and write the hidden states of any number of texts, in parts and in bounded memory."""
