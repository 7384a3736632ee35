"""Searched by nnU-Net, which imports every module of this folder by its bare name: keep other modules out."""
