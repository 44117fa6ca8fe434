"""The files of the web page at `/`: plain ES modules and a style sheet, served as they are."""
