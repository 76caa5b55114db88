"""The Chainlit side: a message becomes a job, a job's events become what the page shows."""
