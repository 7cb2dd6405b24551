"""Recovery of a text recognition network, judged by the characters that it reads."""
