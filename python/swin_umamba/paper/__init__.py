"""What the paper says, each thing once: its systems, data sets, protocol and metrics."""
