"""Storage of model folders: `<root>/<folder id>/…`, and incomplete uploads at `<root>/.uploads/<upload id>`."""
