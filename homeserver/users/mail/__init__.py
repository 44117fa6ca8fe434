"""Mail: written from templates, sent over SMTP, and what it proves."""
