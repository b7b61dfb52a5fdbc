"""The catalogue in the formats that other organisations' tools read: AsyncAPI and ODCS."""
