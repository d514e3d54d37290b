"""What archives are made of: zips, tars, compressed streams."""
