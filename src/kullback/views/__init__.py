"""Results as documents, one function a result."""
