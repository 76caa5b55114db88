"""What any OpenAI client can call."""
