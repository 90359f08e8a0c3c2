"""What the host offers to policies with the grant `catalog`."""

from wit_world.imports.catalog import *
