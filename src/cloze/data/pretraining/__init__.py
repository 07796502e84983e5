"""Pre-training data: shards → pairs and windows → masks → packed batches, each a pure function of the position."""
