"""200 images that are no dermoscopy, of what archives hold beside it: photographs, pages, screens, skies."""
