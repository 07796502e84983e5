"""Kernels for attention, matrix products, dropout and cross-entropy, forward and backward, on CPUs and GPUs."""
