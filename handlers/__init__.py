"""The Chainlit side: turns messages into jobs, and a job's events into what the page shows."""
