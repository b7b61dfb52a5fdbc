"""What a Kafka cluster must hold for psastream: for Strimzi, and as commands of Kafka's own."""
