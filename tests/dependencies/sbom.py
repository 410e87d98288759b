"""`make sbom`: what is installed here, as a bill of materials in CycloneDX's JSON."""

import importlib.metadata
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL


def bill_of_materials() -> str:
    """A component for each installed distribution, mixtray being what the bill is of; sorted by name."""
    bom = Bom()
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        place = PackageURL("pypi", name=name.lower().replace("_", "-"), version=version)
        if name == "mixtray":
            bom.metadata.component = Component(
                name=name, version=version, type=ComponentType.APPLICATION, bom_ref=str(place)
            )
        else:
            bom.components.add(
                Component(
                    name=name, version=version, type=ComponentType.LIBRARY, purl=place, bom_ref=str(place)
                )
            )
    return JsonV1Dot5(bom).output_as_string(indent=2)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(bill_of_materials() + "\n", encoding="utf-8")
    print(f"{sys.argv[1]} is written")
