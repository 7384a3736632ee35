"""Preparation of the paper's data sets from their public downloads."""
