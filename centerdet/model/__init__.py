"""The network, its maps (codec), its layers and its loss."""
