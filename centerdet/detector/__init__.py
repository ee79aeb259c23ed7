"""Detectors: network, codec and threshold in one weights file."""
