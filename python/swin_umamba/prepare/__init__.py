"""Preparation of the paper's data sets from their public downloads."""

DATASETS = {
    "abdomen-mr": "Dataset702_AbdomenMR (AMOS22)",
    "endoscopy": "Dataset704_Endovis17 (EndoVis 2017)",
    "microscopy": "Dataset703_NeurIPSCell",
}
"""What each makes, in the words of the help."""
