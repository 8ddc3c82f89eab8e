"""Images in: record files, decoding and cropping, augmentation, batches."""
