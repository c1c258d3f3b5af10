"""The stores: records in SQL, blobs in a directory or an object store, signals in Redis."""
