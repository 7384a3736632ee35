"""Training with nnU-Net: trainers, settings of a run, its folder, and its phases."""
