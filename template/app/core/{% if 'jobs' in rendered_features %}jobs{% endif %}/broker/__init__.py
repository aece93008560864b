"""Brokers: RabbitMQ, Redis or NATS notify workers of new jobs, for which they otherwise poll."""
