"""People's own images: label formats, data sets, checks, augmentation."""
