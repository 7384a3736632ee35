"""Images and label images on disk: endings, reading, where they lie."""
