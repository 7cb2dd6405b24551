"""Other tools beside lostbits, each in an environment of its own."""
