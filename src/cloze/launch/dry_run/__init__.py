"""`--dry-run`: everything up to the first step, in one process, and an estimate of the whole run. Writes nothing."""
