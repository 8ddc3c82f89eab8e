"""Makes folders of records of images that are in tar files, folders or other records."""
