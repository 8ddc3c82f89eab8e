"""Makes folders of records of images in tar files, folders or other records."""
