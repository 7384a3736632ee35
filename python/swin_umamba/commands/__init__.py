"""The command line: arguments, their help and exit codes, and nothing else."""
