"""From files to training examples: layouts, pairs, splits, inspection, prepared data sets, augmentation."""
