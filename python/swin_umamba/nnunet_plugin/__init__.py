"""The trainers for stock nnU-Net: the folder ``ext_trainer`` goes into the variable ``nnUNet_extTrainer``."""
