"""`--dry-run`: all that leads to the first step, in one process, and what the whole run would take. Writes nothing."""
