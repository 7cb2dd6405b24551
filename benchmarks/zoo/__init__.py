"""Networks as people have them, beside other tools, in the runtimes that run them."""
