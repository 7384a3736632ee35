"""What the keys of the scores are called."""

METRICS = {"dsc": "DSC", "nsd": "NSD"}
PAPER_METRICS = {**METRICS, "f1": "F1"}
