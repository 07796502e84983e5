"""The configuration: where `conf/` lies, how the command line is read, and the check of every key before any work."""
