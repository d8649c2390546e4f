"""How far a copy is verified; apart from all else, because the command line offers it before it imports anything."""

from typing import Literal

Level = Literal["checksum", "structure", "restore"]
"""How far a copy is verified: its bytes, its structure, or by a drill."""
