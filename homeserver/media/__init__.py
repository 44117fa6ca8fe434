"""Media: files that users upload, copies of other servers' files, thumbnails of them, and previews of links."""
