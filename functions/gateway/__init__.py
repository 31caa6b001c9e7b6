"""The edge: who may, which request is one, where it goes; relays streams."""
