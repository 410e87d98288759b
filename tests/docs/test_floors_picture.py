"""The picture of the floors is the one that the rules make."""

from tests.docs.floors_picture import WHAT, picture
from tests.sources import FLOORS, ROOT


def test_the_picture_shows_the_floors_as_they_are() -> None:
    assert (ROOT / "docs/pictures/floors.svg").read_text(encoding="utf-8") == picture()


def test_every_room_has_its_words() -> None:
    rooms = {room for floors in FLOORS.values() for rooms in floors for room in rooms}
    assert {name.rpartition("/")[2] for name in WHAT} == rooms
