"""Replay: forward and backward pass of a small network as one straight row of calls, bit for bit what torch does."""
