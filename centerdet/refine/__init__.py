"""Refinement of detections by a generative model of the scenes. ``search`` needs numba: ``pip install '.[refine]'``.

``search`` holds the search itself, ``outlines`` and ``lines`` the two things that it explains an image with, ``mcmc``
the Metropolis chains, ``bresenham`` the pixels of straight segments, and ``prior`` the description of the scenes.
"""
