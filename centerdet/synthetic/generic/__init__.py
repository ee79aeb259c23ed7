"""Scenes of many kinds of objects on many kinds of ground, for weights that other data sets start from."""
