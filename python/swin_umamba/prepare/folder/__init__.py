"""A folder of images with a folder of masks, as people have them, to nnU-Net's raw layout."""
