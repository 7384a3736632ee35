"""Pretraining of VMamba-Tiny as an image classifier, for the encoders of Swin-UMamba and Swin-UMamba†."""
