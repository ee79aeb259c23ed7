"""The network and its maps: codec, layers, loss."""
