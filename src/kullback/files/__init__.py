"""Results and distributions in files; every file is written whole or not at all."""
