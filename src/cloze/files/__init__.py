"""Local files and object stores: bounded reads, atomic writes, locks."""
