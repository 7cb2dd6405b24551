"""What the verbs find, as frozen dataclasses; JSON and its schema are made from them."""
