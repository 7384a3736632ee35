"""The page of a run: one HTML file with scores, curves, cases, settings and the commands to repeat it.

It is made from ``metrics.json`` and the files of the run alone, so it can be made again at any time.
"""
