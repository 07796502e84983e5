"""What `cloze-doctor` looks at: the packages, the machine and its devices, and what would stop a run on them."""
