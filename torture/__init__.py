"""Experiments that try to break glia: `python -m torture`. What they found stands in RELIABILITY.md."""
