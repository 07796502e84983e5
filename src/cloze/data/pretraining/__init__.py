"""Pre-training: shards → pairs and windows → masks → packed batches; each step is a pure function of the position."""
