"""What lostbits asks of the machine: files, memory."""
