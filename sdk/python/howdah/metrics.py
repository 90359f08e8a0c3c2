"""What the host offers to policies with the grant `metrics`."""

from wit_world.imports.metrics import *
