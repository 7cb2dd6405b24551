"""lostbits' neutral file for Cambricon MLU: steps, and the pairs that the platform calls for."""

from typing import ClassVar, final

from lostbits.reader import Parameters, Reader, json_object, parse_json, wrong_version
from lostbits.readers.plan import read_sites

FORMAT = "lostbits-cambricon/1"


@final
class Cambricon(Reader):
    """The steps are read; position, scale and offset are spellings of them."""

    name: ClassVar[str] = "cambricon"
    title: ClassVar[str] = "Cambricon MLU parameters (JSON)"

    def recognises(self, content: bytes) -> bool:
        """By the name in ``format``."""
        return str(json_object(content).get("format")).startswith("lostbits-cambricon/")

    def parse(self, content: bytes) -> Parameters:
        """One entry per site."""
        value = parse_json(content)
        if value.get("format") != FORMAT:
            raise wrong_version(value.get("format"), [FORMAT])
        return read_sites(value, self.name)
