"""A stand-in for Google Cloud Storage, for tests: `bucket.server.serve()`."""
