"""What the host offers to policies with the grant `random`."""

from wit_world.imports.random import *
