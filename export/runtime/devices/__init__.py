"""What each family of devices offers: one file a family, each giving its plans, best first."""
