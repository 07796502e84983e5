"""Pre-training: shards → pairs and windows → masks → packed batches, each a pure function of (seed, epoch, place)."""
