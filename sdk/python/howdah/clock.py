"""What the host offers to policies with the grant `clock`."""

from wit_world.imports.clock import *
