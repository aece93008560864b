"""What can be done about an error of a database, whatever the database calls it."""

from enum import Enum, auto


class Meaning(Enum):
    CLASH = auto()
    """It contradicts what is stored."""
    VALUE = auto()
    """A value is out of range, too long, or none that the database knows."""
    AGAIN = auto()
    """A deadlock or a serialisation failure: the same transaction may succeed the next time."""
    UNAVAILABLE = auto()
    """The server is away, overloaded, or took too long."""
