"""A time tracker like Harvest: lists behind cursors, approvals of days, no tombstones."""
