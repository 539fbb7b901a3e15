"""The durable side in PostgreSQL: connection, schema, queries."""
