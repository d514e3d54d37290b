"""Images from an S3 Inventory: a list of a bucket that S3 writes every day, so that nobody has to list it."""

from batch.cluster.inventory.source import InventorySource, inventory_source

__all__ = ["InventorySource", "inventory_source"]
