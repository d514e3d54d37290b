"""Who works on the images: worker processes, so that no image can end the run, or this process itself."""
