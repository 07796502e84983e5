"""The configuration: where `conf/` is, how the command line is read, and how every key is checked."""
