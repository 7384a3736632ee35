"""DICOM: series of slices, multi-frame objects and single images; docs/ways-in/dicom.md has the rules.

Needs the extra ``dicom``; `require_pydicom` says so.
"""
