"""The query side of conversations: read models by projection, read back as OpenAI's objects."""
