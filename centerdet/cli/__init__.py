"""The command ``centerdet``: one file a command."""
