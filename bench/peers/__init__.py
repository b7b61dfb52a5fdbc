"""The systems psastream is measured beside, each as its own users would write it."""
