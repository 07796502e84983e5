"""Files of this machine and of object stores: read within bounds, written whole or not at all, locked."""
