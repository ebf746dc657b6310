"""REST request and response models, one file per noun."""
