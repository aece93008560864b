"""Brokers: RabbitMQ, Redis or NATS name new jobs to workers, which otherwise poll."""
