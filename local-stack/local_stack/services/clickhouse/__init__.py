"""The ClickHouse engine of `chdb-core` behind ClickHouse's own HTTP interface, on loopback.

`python -m local_stack.services.clickhouse --port N --data DIR` serves one data folder.
"""
