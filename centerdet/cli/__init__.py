"""The command ``centerdet``, one module per subcommand."""
