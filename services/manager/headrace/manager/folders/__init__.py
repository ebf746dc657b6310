"""Model folders on disk: `<root>/<folder id>/…`, and uploads that are not complete at `<root>/.uploads/<upload id>`."""
