"""The process and its terminal: memory, signals, streams, messages, the installed distribution."""
