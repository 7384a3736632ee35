"""The nnU-Net trainers: optimizers, schedules, precision, non-finite losses, distributed training."""
