"""Independent readers of what lostbits exports."""
