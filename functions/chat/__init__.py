"""The command side of conversations: it owns a conversation's turns and what the model is told."""
