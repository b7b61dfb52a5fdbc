"""What each process of the product may touch on Kafka, for a firm: users, and rules in texts."""
