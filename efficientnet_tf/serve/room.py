"""How many images and bytes the server holds; where there is no room it refuses."""

import contextlib
import math
from collections.abc import Iterator

from starlette.exceptions import HTTPException


class Room:
    """Counts the images and the bytes that requests hold; of the event loop alone.

    Args:
        images: int, most images of all requests together.
        size: int, most bytes of their bodies together.
    """

    def __init__(self, images: int, size: int):
        self.images = 0
        self.size = 0
        self.seconds_per_image = 0.0  # of the last batch; 0 before the first
        self._most_images = images
        self._most_size = size

    @contextlib.contextmanager
    def place(self) -> Iterator["Place"]:
        """Yields a request's place, and gives back what it holds at the end."""
        place = Place(self)
        try:
            yield place
        finally:
            self.images -= place.images
            self.size -= place.size

    def take_images(self, count: int) -> None:
        """Raises HTTPException 413 for more images than there is ever room for, 429."""
        if count > self._most_images:
            told = f"{count} images; allowed are {self._most_images} in one request"
            raise HTTPException(413, told)
        if self.images + count > self._most_images:
            raise self._full(f"{self._most_images} images wait already")
        self.images += count

    def take_bytes(self, count: int) -> None:
        """Raises HTTPException 429 where the bodies have no room."""
        if self.size + count > self._most_size:
            raise self._full("the requests that are being read fill the memory")
        self.size += count

    def _full(self, reason: str) -> HTTPException:
        seconds = max(1, math.ceil(self.images * self.seconds_per_image))
        told = f"the server is busy: {reason}; try again in {seconds} s"
        return HTTPException(429, told, {"Retry-After": str(seconds)})


class Place:
    """What one request holds of a `Room`."""

    def __init__(self, room: Room):
        self.images = 0
        self._room = room
        self.size = 0

    def add_images(self, count: int) -> None:
        """Takes room for images; see `Room.take_images`."""
        self._room.take_images(count)
        self.images += count

    def add_bytes(self, count: int) -> None:
        """Takes room for a part of a body; see `Room.take_bytes`."""
        self._room.take_bytes(count)
        self.size += count
