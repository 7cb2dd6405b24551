"""Ops that move values without computing new ones: the same on every platform."""

# MaxPool is among them because it chooses among values; Pad because what it adds is zero, on
# every grid, or a value of its input. Where an integer platform pads with another constant, the
# constant has to lie on the grid of the input anyway.
MOVES_VALUES = frozenset(
    {
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
