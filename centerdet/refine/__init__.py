"""Refinement: moves a box to where the scene's known generator explains the pixels best. numpy and numba alone."""
