"""What the host offers to policies with the grant `kv`."""

from wit_world.imports.kv import *
