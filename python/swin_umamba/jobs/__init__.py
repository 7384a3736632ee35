"""What a command makes happen: a training from raw data to scores, a comparison of several."""
