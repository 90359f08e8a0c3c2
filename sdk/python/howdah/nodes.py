"""What the host offers to policies with the grant `nodes`."""

from wit_world.imports.nodes import *
