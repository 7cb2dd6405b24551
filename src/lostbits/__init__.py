"""lostbits: finds the bits that quantization lost."""

from lostbits import openmp as openmp  # first: torch reads the setting when it is imported
from lostbits.api import Settings, diagnose, write
from lostbits.case import Override
from lostbits.errors import LostbitsError
from lostbits.target import Target
from lostbits.targets import target as find_target

__all__ = ["LostbitsError", "Override", "Settings", "Target", "diagnose", "find_target", "write"]
